-- Verifications the caller may see, newest first after the cursor. One that ended without a verdict proved nothing.
SELECT r.uid, r.entity_uid, r.status, r.trigger, r.requested_by, r.created_at, r.started_at, r.completed_at,
       CASE WHEN r.status IN ('queued', 'running') THEN NULL ELSE coalesce(v.outcome, 'unverified') END AS outcome,
       CASE WHEN r.status IN ('queued', 'running') THEN NULL ELSE coalesce(v.why, r.error) END AS why,
       coalesce(v.findings, '{{}}'::jsonb) AS findings
FROM {schema}.sync_runs r
JOIN {schema}.connectors c ON c.uid = r.connector_uid
LEFT JOIN {schema}.verifications v ON v.uid = r.uid
WHERE r.purpose = 'verify'
  AND (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
  AND (%(uid)s::uuid IS NULL OR r.uid = %(uid)s)
  AND (%(entity_uid)s::uuid IS NULL OR r.entity_uid = %(entity_uid)s)
  AND (%(after_at)s::timestamptz IS NULL OR (r.created_at, r.uid) < (%(after_at)s, %(after_uid)s::uuid))
ORDER BY r.created_at DESC, r.uid DESC
LIMIT %(limit)s
