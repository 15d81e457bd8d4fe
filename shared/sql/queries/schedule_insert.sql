-- A table that nobody read wholly yet is left to its windows by the timers.
INSERT INTO {schema}.background_sync_schedule
    (uid, entity_uid, window_start, window_end, time_zone, days_to_complete, is_active, is_first_load)
SELECT %(uid)s, t.entity_uid, %(window_start)s, %(window_end)s, %(time_zone)s, %(days_to_complete)s, %(is_active)s,
       t.watermark IS NULL AND t.last_sweep_at IS NULL
  FROM {schema}.erp_sync_state t WHERE t.entity_uid = %(entity_uid)s
