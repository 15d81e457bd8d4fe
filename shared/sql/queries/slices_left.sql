SELECT count(*) AS slices, count(*) FILTER (WHERE status <> 'done') AS unfinished
FROM {schema}.sync_slices WHERE run_uid = %(run)s
