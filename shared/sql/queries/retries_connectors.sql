-- Connectors with an entity that has stored rows to take up.
SELECT DISTINCT e.connector_uid FROM {schema}.entities e
WHERE NOT e.is_deleted AND e.uid IN (
    SELECT a.entity_uid FROM {schema}.awaited_parents a WHERE a.arrived_at IS NOT NULL
    UNION SELECT f.entity_uid FROM {schema}.failed_records f
    WHERE f.status = 'open' AND f.next_attempt_at <= clock_timestamp())
