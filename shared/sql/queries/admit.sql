-- Called under the connector's row lock: fill its free slots with the oldest slices that may start now, deltas
-- first, and write their messages. A bulk slice may start only while its entity has no delta in flight; a delta that
-- has not begun lets the deltas of its parents go first, for a quarter of an hour at most.
WITH taken AS (
    SELECT count(*) AS n FROM {schema}.sync_slices
    WHERE connector_uid = %(connector)s AND admitted AND status IN ('queued', 'running')
), waiting AS (
    SELECT s.run_uid, s.slice FROM {schema}.sync_slices s JOIN {schema}.sync_runs r ON r.uid = s.run_uid
    WHERE s.connector_uid = %(connector)s AND s.status = 'queued' AND NOT s.admitted
      AND s.next_attempt_at <= clock_timestamp() AND r.status IN ('queued', 'running')
      AND (r.lane = 'delta' OR NOT EXISTS (
            SELECT 1 FROM {schema}.sync_runs d
            WHERE d.entity_uid = r.entity_uid AND d.lane = 'delta' AND d.status IN ('queued', 'running')))
      AND NOT (r.started_at IS NULL AND r.created_at > clock_timestamp() - interval '15 minutes' AND EXISTS (
            SELECT 1 FROM {schema}.sync_runs d
            WHERE d.entity_uid = ANY (r.waits_for) AND d.lane = 'delta' AND d.purpose <> 'retry'
              AND d.status IN ('queued', 'running')))
    ORDER BY r.lane = 'bulk', r.created_at, s.run_uid, s.slice
    LIMIT greatest(0, %(limit)s - (SELECT n FROM taken))
), admitted AS (
    UPDATE {schema}.sync_slices s SET admitted = true, sent_at = NULL FROM waiting w
    WHERE s.run_uid = w.run_uid AND s.slice = w.slice AND NOT s.admitted RETURNING s.run_uid, s.slice
)
INSERT INTO {schema}.outbox (run_uid, slice, traceparent) SELECT run_uid, slice, %(traceparent)s FROM admitted
