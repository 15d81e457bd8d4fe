-- A run that ends takes its other slices along: whoever works on one of them is fenced.
UPDATE {schema}.sync_slices SET epoch = epoch + 1, status = 'cancelled', admitted = false, lease_until = NULL, message_id = NULL
WHERE run_uid = %(run)s AND slice <> %(slice)s AND status IN ('queued', 'running')
