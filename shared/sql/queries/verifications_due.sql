-- Entities whose verification is due by their own interval; a bulk run in flight goes first.
SELECT e.uid FROM {schema}.entities e
JOIN {schema}.connectors c ON c.uid = e.connector_uid
JOIN {schema}.erp_sync_state t ON t.entity_uid = e.uid
WHERE e.verify_interval_seconds IS NOT NULL AND e.sync_enabled AND NOT e.is_deleted AND c.is_active
  AND t.fresh_at IS NOT NULL
  AND NOT EXISTS (
        SELECT 1 FROM {schema}.sync_runs r WHERE r.entity_uid = e.uid AND r.purpose = 'verify'
        AND r.created_at > clock_timestamp() - make_interval(secs => e.verify_interval_seconds))
  AND NOT EXISTS (
        SELECT 1 FROM {schema}.sync_runs r WHERE r.entity_uid = e.uid AND r.lane = 'bulk'
        AND r.status IN ('queued', 'running'))
ORDER BY e.uid
