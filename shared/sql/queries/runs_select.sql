SELECT r.uid, r.entity_uid, r.strategy, r.purpose, r.trigger, r.status, r.started_at, r.completed_at, r.watermark_start,
       r.watermark_end, r.error, r.requested_by, r.created_at, s.*
FROM {schema}.sync_runs r JOIN {schema}.connectors c ON c.uid = r.connector_uid
CROSS JOIN LATERAL (
    SELECT count(*)::int AS slices, coalesce(sum(attempt), 0)::int AS attempt,
           coalesce(sum(fetched), 0)::bigint AS fetched, coalesce(sum(inserted), 0)::bigint AS inserted,
           coalesce(sum(updated), 0)::bigint AS updated, coalesce(sum(unchanged), 0)::bigint AS unchanged,
           coalesce(sum(superseded), 0)::bigint AS superseded, coalesce(sum(rejected), 0)::bigint AS rejected,
           coalesce(sum(held), 0)::bigint AS held, coalesce(sum(released), 0)::bigint AS released,
           coalesce(sum(soft_deleted), 0)::bigint AS soft_deleted
    FROM {schema}.sync_slices WHERE run_uid = r.uid
) s
WHERE (%(run)s::uuid IS NULL OR r.uid = %(run)s)
  AND (%(entity)s::uuid IS NULL OR r.entity_uid = %(entity)s)
  AND (%(connector)s::uuid IS NULL OR r.connector_uid = %(connector)s)
  AND (%(status)s::text IS NULL OR r.status = %(status)s)
  AND (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
  AND (%(before_at)s::timestamptz IS NULL OR (r.created_at, r.uid) < (%(before_at)s, %(before_uid)s::uuid))
ORDER BY r.created_at DESC, r.uid DESC LIMIT %(limit)s
