-- Loads that may get their run tonight. A sweep that is due goes first, once a night: until one was created since the
-- load began to wait for it, for an hour at most. The timers' own view of what is due stands in entities_due.
SELECT s.uid, s.entity_uid, e.slug, e.delta_strategy AS strategy, e.pagination, s.window_start, s.window_end, s.time_zone,
       s.last_night, s.yielded_night,
       e.delta_strategy = 'rowversion' AND (t.fresh_at IS NOT NULL OR t.watermark IS NOT NULL)
           AND NOT (s.is_first_load AND t.watermark IS NULL AND t.last_sweep_at IS NULL)
           AND coalesce(t.last_sweep_at + make_interval(secs => e.key_sweep_interval_seconds) <= clock_timestamp(), true)
           AND t.due_at <= clock_timestamp() + interval '1 hour' AS sweep_due,
       s.yielded_at IS NOT NULL AND (
           s.yielded_at <= clock_timestamp() - interval '1 hour'
           OR EXISTS (SELECT 1 FROM {schema}.sync_runs w
                      WHERE w.entity_uid = s.entity_uid AND w.purpose = 'sweep' AND w.created_at >= s.yielded_at)) AS yielded_enough
  FROM {schema}.background_sync_schedule s
  JOIN {schema}.entities e ON e.uid = s.entity_uid
  JOIN {schema}.connectors c ON c.uid = e.connector_uid
  JOIN {schema}.erp_sync_state t ON t.entity_uid = s.entity_uid
 WHERE s.is_active AND e.sync_enabled AND NOT e.is_deleted AND c.is_active
 ORDER BY s.last_night NULLS FIRST, s.uid
