-- Cursor, counters and lease belong to the slice, so that runs and entities are no bottleneck. A chunk is progress:
-- the failures before it used up nothing of what comes after.
UPDATE {schema}.sync_slices SET
    cursor = %(cursor)s, chunk = chunk + %(chunks)s, failures = 0,
    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    fetched = fetched + %(fetched)s, inserted = inserted + %(inserted)s, updated = updated + %(updated)s,
    unchanged = unchanged + %(unchanged)s, superseded = superseded + %(superseded)s,
    rejected = rejected + %(rejected)s, held = held + %(held)s, released = released + %(released)s,
    soft_deleted = soft_deleted + %(soft_deleted)s
WHERE run_uid = %(run)s AND slice = %(slice)s
