-- Cancelling bumps only the epochs of the run's own slices, which fences whoever works on them.
WITH ended AS (
    UPDATE {schema}.sync_runs SET status = 'cancelled', completed_at = clock_timestamp(), error = %(error)s
    WHERE uid = ANY (%(runs)s) AND status IN ('queued', 'running') RETURNING uid
)
UPDATE {schema}.sync_slices s SET epoch = epoch + 1, status = 'cancelled', admitted = false, lease_until = NULL
FROM ended WHERE s.run_uid = ended.uid AND s.status IN ('queued', 'running')
