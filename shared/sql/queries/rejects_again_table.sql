-- What refused rejects this time.
CREATE TEMP TABLE refused_again ON COMMIT DROP AS
SELECT uid, stage, "column", code, message FROM {schema}.failed_records WITH NO DATA
