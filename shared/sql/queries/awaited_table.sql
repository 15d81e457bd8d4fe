-- Whom the rows of one chunk wait for.
CREATE TEMP TABLE chunk_awaited ON COMMIT DROP AS
SELECT parent_uid, key_hash, key FROM {schema}.awaited_parents WITH NO DATA
