-- What a retry slice's transaction took up and landed.
UPDATE {schema}.sync_slices SET
    chunk = chunk + 1, failures = 0, lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    fetched = fetched + %(fetched)s, inserted = inserted + %(inserted)s, updated = updated + %(updated)s,
    unchanged = unchanged + %(unchanged)s, superseded = superseded + %(superseded)s,
    rejected = rejected + %(rejected)s, held = held + %(held)s, released = released + %(released)s
WHERE run_uid = %(run)s AND slice = %(slice)s
