-- Job runs of the workspaces that the caller's tenants have, newest first.
SELECT m.job_metric_id, m.workspace_url, m.job_id, m.run_id, m.job_name, m.result, m.started_at, m.ended_at, m.creator
  FROM deltashare.job_metrics m
 WHERE (%(tenants)s::text[] IS NULL OR EXISTS (
           SELECT FROM deltashare.tenant_regions r JOIN deltashare.tenants t ON t.tenant_id = r.tenant_id AND t.is_current
            WHERE r.is_current AND NOT r.is_deleted AND t.name = ANY (%(tenants)s)
              AND regexp_replace(lower(rtrim(r.workspace_url, '/')), '^https?://', '') = regexp_replace(lower(m.workspace_url), '^https?://', '')))
   AND (%(job_id)s::text IS NULL OR m.job_id = %(job_id)s)
   AND (%(after_at)s::timestamptz IS NULL OR (m.started_at, m.job_metric_id) < (%(after_at)s, %(after_id)s))
 ORDER BY m.started_at DESC, m.job_metric_id DESC LIMIT %(limit)s
