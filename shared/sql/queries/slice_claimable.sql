-- Locked slices are somebody's: skip them rather than wait.
SELECT s.run_uid, s.slice, s.kind, s.status, s.admitted, s.cursor, s.chunk, s.epoch, s.lease_until, s.message_id,
       s.dequeue_count, s.attempt, s.soft_deleted,
       CASE WHEN s.kind = 'walk' THEN '[]' ELSE (
            SELECT coalesce(jsonb_agg(w.cursor ORDER BY w.slice), '[]') FROM {schema}.sync_slices w
            WHERE w.run_uid = s.run_uid AND w.kind = 'walk') END AS walked,
       s.next_attempt_at, s.connector_uid,
       r.entity_uid, r.lane, r.purpose, r.strategy, r.config, r.status IN ('queued', 'running') AS run_in_flight, r.watermark_start,
       r.target_was_empty, r.started_at, r.allow_deletes, r.generation, r.night,
       t.versions_since, t.unproven_snapshots, t.deletes_barred, t.probe, t.indexes_deferred,
       t.last_sync_at IS NULL AS never_synced, t.watermark,
       p.uid AS pass_uid, p.began_at AS pass_began, clock_timestamp() AS now,
       r.lane = 'bulk' AND EXISTS (
            SELECT 1 FROM {schema}.sync_runs d WHERE d.entity_uid = r.entity_uid AND d.lane = 'delta'
            AND d.status IN ('queued', 'running')) AS delta_in_flight
FROM {schema}.sync_slices s
JOIN {schema}.sync_runs r ON r.uid = s.run_uid
JOIN {schema}.erp_sync_state t ON t.entity_uid = r.entity_uid
LEFT JOIN {schema}.passes p ON p.uid = r.uid
WHERE s.run_uid = %(run)s AND s.slice = %(slice)s
FOR UPDATE OF s SKIP LOCKED
