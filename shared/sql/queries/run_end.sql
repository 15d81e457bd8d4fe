UPDATE {schema}.sync_runs SET
    status = %(status)s, completed_at = clock_timestamp(), error = %(error)s, watermark_end = %(watermark)s,
    bound = %(bound)s, probe = %(probe)s, rule_changes = %(changed)s, ignored_columns = %(ignored)s
WHERE uid = %(run)s AND status IN ('queued', 'running')
