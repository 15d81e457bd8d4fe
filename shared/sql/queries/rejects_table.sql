-- Rejects of one chunk; temporary, so that the insert below can settle them against the open ones.
CREATE TEMP TABLE chunk_rejects ON COMMIT DROP AS
SELECT uid, key, key_hash, version, stage, "column", code, message, raw FROM {schema}.failed_records WITH NO DATA
