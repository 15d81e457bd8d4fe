SELECT e.delta_strategy AS strategy, t.watermark, t.probe, t.fresh_at IS NOT NULL AS synced,
       t.deletes_barred AS reread_due
FROM {schema}.entities e JOIN {schema}.erp_sync_state t ON t.entity_uid = e.uid WHERE e.uid = %(entity)s
