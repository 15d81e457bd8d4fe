SELECT r.uid, c.tenant, e.slug, r.completed_at, r.strategy, r.trigger, r.status, r.started_at, r.error, s.*
FROM {schema}.sync_runs r
JOIN {schema}.entities e ON e.uid = r.entity_uid
JOIN {schema}.connectors c ON c.uid = r.connector_uid
CROSS JOIN LATERAL (
    SELECT coalesce(sum(fetched), 0)::bigint AS fetched, coalesce(sum(inserted), 0)::bigint AS inserted,
           coalesce(sum(updated), 0)::bigint AS updated, coalesce(sum(unchanged), 0)::bigint AS unchanged,
           coalesce(sum(superseded), 0)::bigint AS superseded, coalesce(sum(rejected), 0)::bigint AS rejected,
           coalesce(sum(held), 0)::bigint AS held, coalesce(sum(soft_deleted), 0)::bigint AS soft_deleted
    FROM {schema}.sync_slices WHERE run_uid = r.uid
) s
WHERE r.completed_at IS NOT NULL AND r.logged_at IS NULL
ORDER BY r.completed_at LIMIT %(limit)s
