UPDATE {schema}.sync_slices SET
    inserted = inserted + %(inserted)s, updated = updated + %(updated)s, unchanged = unchanged + %(unchanged)s,
    superseded = superseded + %(superseded)s, rejected = rejected + %(rejected)s
WHERE run_uid = %(run)s AND slice = %(slice)s
