-- Entities of one connector with stored rows to take up and no run in their way. A retry that just failed is given
-- time, or it would be begun again by its own end.
SELECT e.uid AS entity_uid FROM {schema}.entities e JOIN {schema}.connectors c ON c.uid = e.connector_uid
WHERE e.connector_uid = %(connector)s AND NOT e.is_deleted AND c.is_active
  AND (EXISTS (SELECT 1 FROM {schema}.awaited_parents a WHERE a.entity_uid = e.uid AND a.arrived_at IS NOT NULL)
       OR EXISTS (SELECT 1 FROM {schema}.failed_records f WHERE f.entity_uid = e.uid AND f.status = 'open'
                  AND f.next_attempt_at <= clock_timestamp()))
  AND NOT EXISTS (SELECT 1 FROM {schema}.sync_runs r
                  WHERE r.entity_uid = e.uid AND r.lane = 'delta' AND r.status IN ('queued', 'running'))
  AND NOT EXISTS (SELECT 1 FROM {schema}.sync_runs r
                  WHERE r.entity_uid = e.uid AND r.purpose = 'retry' AND r.status = 'failed'
                    AND r.completed_at > clock_timestamp() - interval '5 minutes')
ORDER BY e.uid
