-- Marked, and yet not there: deleted again meanwhile. A row of the own table may stand for a circle.
WITH gone AS (DELETE FROM due WHERE NOT live AND parent_uid <> %(entity)s RETURNING parent_uid, key_hash)
UPDATE {schema}.awaited_parents a SET arrived_at = NULL FROM gone
WHERE a.entity_uid = %(entity)s AND a.parent_uid = gone.parent_uid AND a.key_hash = gone.key_hash
