-- A run's rows that wait for rows of the same table which wait, too: a circle or a chain, to be judged as a whole.
UPDATE {schema}.awaited_parents a SET arrived_at = clock_timestamp()
WHERE a.entity_uid = %(entity)s AND a.parent_uid = %(entity)s AND a.run_uid = %(run)s AND a.arrived_at IS NULL
  AND EXISTS (SELECT 1 FROM {schema}.held_rows h
              WHERE h._bridge_entity_uid = %(entity)s AND h._bridge_erp_key_hash = a.key_hash)
