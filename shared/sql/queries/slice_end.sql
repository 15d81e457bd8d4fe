-- The epoch moves, too: whoever was paused while working on this slice is fenced.
UPDATE {schema}.sync_slices SET epoch = epoch + 1, status = %(status)s, admitted = false, lease_until = NULL, message_id = NULL
WHERE run_uid = %(run)s AND slice = %(slice)s
