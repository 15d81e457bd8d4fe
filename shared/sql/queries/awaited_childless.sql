-- Awaited by rows that have since landed otherwise, or gone.
DELETE FROM {schema}.awaited_parents a
WHERE a.entity_uid = %(entity)s AND a.parent_uid = %(parent)s AND a.arrived_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM {schema}.held_rows h
                  WHERE h._bridge_entity_uid = %(entity)s AND a.key_hash = ANY (h._bridge_awaits))
