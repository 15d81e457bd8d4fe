UPDATE {schema}.sync_slices SET
    soft_deleted = soft_deleted + %(soft_deleted)s, failures = 0, lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE run_uid = %(run)s AND slice = %(slice)s
