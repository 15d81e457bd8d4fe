-- Stale as the figures say it (catalogue_stats), of what nobody switched off; a table that its nights are still
-- loading for the first time is not late, and a new one has two intervals to begin.
WITH seen AS (
    SELECT e.slug, c.name AS connector, c.tenant, s.fresh_at, e.created_at,
           CASE WHEN e.adaptive AND (s.adapted #>> '{{interval,base}}')::int = coalesce(e.sync_interval_seconds, %(default_interval_s)s)
    THEN (s.adapted #>> '{{interval,seconds}}')::int ELSE coalesce(e.sync_interval_seconds, %(default_interval_s)s) END AS interval_s
      FROM {schema}.entities e
      JOIN {schema}.connectors c ON c.uid = e.connector_uid
      LEFT JOIN {schema}.erp_sync_state s ON s.entity_uid = e.uid
     WHERE NOT e.is_deleted AND e.sync_enabled AND c.is_active
       AND NOT (s.fresh_at IS NULL AND EXISTS (
            SELECT 1 FROM {schema}.background_sync_schedule b
             WHERE b.entity_uid = e.uid AND b.is_active AND b.is_first_load))
)
SELECT slug AS entity, connector, tenant, fresh_at, interval_s, count(*) OVER () AS total
  FROM seen
 WHERE coalesce(fresh_at, created_at) <= now() - 2 * interval_s * interval '1 second'
 ORDER BY coalesce(fresh_at, '-infinity'), slug
 LIMIT %(limit)s
