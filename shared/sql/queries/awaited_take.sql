-- The parents whose time has come, all of them where nobody need wait any longer; another host's timer skips them.
CREATE TEMP TABLE looked ON COMMIT DROP AS
WITH due AS (
    SELECT key_hash FROM {schema}.awaited_parents
    WHERE entity_uid = %(entity)s AND parent_uid = %(parent)s AND arrived_at IS NULL
      AND (NOT %(stands)s OR NOT is_orphan AND next_attempt_at <= clock_timestamp())
    ORDER BY next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
SELECT key_hash, NOT %(stands)s AS live FROM due
