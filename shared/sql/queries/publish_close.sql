UPDATE {schema}.sync_slices SET
    cursor = '{{"published": true}}', chunk = chunk + 1, failures = 0,
    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    inserted = inserted + %(inserted)s, updated = updated + %(updated)s, unchanged = unchanged + %(unchanged)s,
    superseded = superseded + %(superseded)s, rejected = rejected + %(rejected)s,
    soft_deleted = soft_deleted + %(soft_deleted)s
WHERE run_uid = %(run)s AND slice = %(slice)s
