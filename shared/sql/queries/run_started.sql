UPDATE {schema}.sync_runs SET
    status = 'running', started_at = coalesce(started_at, clock_timestamp()),
    target_was_empty = coalesce(target_was_empty, %(empty)s)
WHERE uid = %(run)s
