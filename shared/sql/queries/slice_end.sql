UPDATE {schema}.sync_slices SET status = %(status)s, admitted = false, lease_until = NULL, message_id = NULL
WHERE run_uid = %(run)s AND slice = %(slice)s
