-- Parents marked as arrived, the longest waiting first.
CREATE TEMP TABLE due ON COMMIT DROP AS
SELECT parent_uid, key_hash, false AS live FROM {schema}.awaited_parents
WHERE entity_uid = %(entity)s AND arrived_at IS NOT NULL ORDER BY arrived_at LIMIT %(limit)s
