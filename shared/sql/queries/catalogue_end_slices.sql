-- A higher epoch fences whoever still works on a slice of the runs just ended.
UPDATE {schema}.sync_slices
   SET status = 'cancelled', epoch = epoch + 1, lease_until = NULL
 WHERE run_uid = ANY (%(runs)s) AND status IN ('queued', 'running')
