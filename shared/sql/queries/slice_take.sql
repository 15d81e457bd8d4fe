UPDATE {schema}.sync_slices SET
    status = 'running', epoch = epoch + 1, message_id = %(message_id)s, dequeue_count = %(dequeue_count)s,
    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE run_uid = %(run)s AND slice = %(slice)s
