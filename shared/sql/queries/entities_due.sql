-- A sweep is due by its own interval; an interval of zero means every tick that finds the entity due.
SELECT e.uid AS entity_uid, e.connector_uid, e.slug, e.delta_strategy AS strategy, e.version, t.watermark, e.overlap,
       e.parameters, e.parents <> '[]' AS has_parents,
       -- A key absent once waits for its second pass, which an unchanged source must not put off for ever.
       CASE WHEN e.delta_strategy = 'rowversion' OR NOT EXISTS (
                SELECT 1 FROM {schema}.missing_keys m WHERE m.entity_uid = e.uid AND m.passes < e.delete_after_missing)
            THEN t.probe END AS last_probe,
       -- Not before the whole table was read, by a proven load or over several nights: until then each delta does.
       e.delta_strategy = 'rowversion' AND (t.fresh_at IS NOT NULL OR t.watermark IS NOT NULL)
           AND coalesce(t.last_sweep_at + make_interval(secs => e.key_sweep_interval_seconds) <= clock_timestamp(), true)
           AS sweep_due,
       -- Other strategies read every row with each run anyway.
       e.delta_strategy = 'rowversion' AND (t.fresh_at IS NOT NULL OR t.watermark IS NOT NULL) AND t.backfill IS NOT NULL AS backfill_due,
       t.deletes_seen
FROM {schema}.entities e
JOIN {schema}.connectors c ON c.uid = e.connector_uid
JOIN {schema}.erp_sync_state t ON t.entity_uid = e.uid
WHERE e.sync_enabled AND NOT e.is_deleted AND c.is_active AND t.due_at <= clock_timestamp()
  AND t.rehash IS NULL
  -- What is being loaded by night for the first time is not loaded by day: any run of a timer's would read all of it.
  AND NOT (%(by_night)s AND t.watermark IS NULL AND t.last_sweep_at IS NULL AND EXISTS (
        SELECT 1 FROM {schema}.background_sync_schedule s WHERE s.entity_uid = e.uid AND s.is_active AND s.is_first_load))
  AND NOT EXISTS (SELECT 1 FROM {schema}.sync_runs r
                  WHERE r.entity_uid = e.uid AND r.lane = 'delta' AND r.status IN ('queued', 'running'))
ORDER BY t.last_probed_at NULLS FIRST, e.uid
