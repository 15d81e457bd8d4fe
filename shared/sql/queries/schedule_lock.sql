-- Locked after connector, entity and slice, like everywhere.
SELECT s.*, t.watermark IS NULL AND t.last_sweep_at IS NULL AS never_read
  FROM {schema}.background_sync_schedule s JOIN {schema}.erp_sync_state t ON t.entity_uid = s.entity_uid
 WHERE s.uid = %(uid)s FOR UPDATE OF s
