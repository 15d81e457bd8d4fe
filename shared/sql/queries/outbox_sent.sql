-- A slice may be locked already by whoever got its message; noting when it was sent is not worth waiting for that.
WITH gone AS (
    DELETE FROM {schema}.outbox WHERE id = ANY (%(ids)s) RETURNING run_uid, slice
), free AS (
    SELECT s.run_uid, s.slice FROM {schema}.sync_slices s
    WHERE (s.run_uid, s.slice) IN (SELECT run_uid, slice FROM gone) ORDER BY 1, 2 FOR UPDATE SKIP LOCKED
)
UPDATE {schema}.sync_slices s SET sent_at = clock_timestamp(), sends = sends + 1
FROM free WHERE s.run_uid = free.run_uid AND s.slice = free.slice
