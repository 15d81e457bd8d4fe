WITH gone AS (DELETE FROM {schema}.outbox WHERE id = ANY (%(ids)s) RETURNING run_uid, slice)
UPDATE {schema}.sync_slices s SET sent_at = clock_timestamp(), sends = sends + 1
FROM gone WHERE s.run_uid = gone.run_uid AND s.slice = gone.slice
