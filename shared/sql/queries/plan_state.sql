SELECT t.generation, t.watermark, t.probe, t.versions_since, t.deletes_barred,
       ARRAY(SELECT r.purpose FROM {schema}.sync_runs r
             WHERE r.entity_uid = t.entity_uid AND r.status IN ('queued', 'running') ORDER BY r.created_at) AS in_flight
FROM {schema}.erp_sync_state t WHERE t.entity_uid = %(entity)s
