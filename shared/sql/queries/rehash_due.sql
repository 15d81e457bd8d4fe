-- Entities whose rows wait to be hashed anew and have no run at it.
SELECT t.entity_uid FROM {schema}.erp_sync_state t
JOIN {schema}.entities e ON e.uid = t.entity_uid
WHERE t.rehash IS NOT NULL AND NOT e.is_deleted
  AND NOT EXISTS (SELECT 1 FROM {schema}.sync_runs r
                  WHERE r.entity_uid = t.entity_uid AND r.lane = 'bulk' AND r.status IN ('queued', 'running'))
