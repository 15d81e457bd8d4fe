-- Runs in a workspace belong to whoever has that workspace as a region.
SELECT m.job_metric_id AS id, m.workspace_url, m.share_pack_id, m.job_id, m.run_id, m.job_name, m.status, m.started_at,
       m.ended_at, m.duration_seconds, m.error_message, m.recorded_at AS at
  FROM deltashare.job_metrics m
 WHERE (%(tenants)s::text[] IS NULL OR EXISTS (
           SELECT FROM deltashare.tenant_regions r JOIN deltashare.tenants t ON t.tenant_id = r.tenant_id AND t.is_current
            WHERE r.is_current AND NOT r.is_deleted AND t.name = ANY (%(tenants)s)
              AND position(m.workspace_url IN r.workspace_url) > 0))
   AND (%(after_at)s::timestamptz IS NULL OR (m.recorded_at, m.job_metric_id) < (%(after_at)s, %(after_id)s))
 ORDER BY m.recorded_at DESC, m.job_metric_id DESC LIMIT %(limit)s
