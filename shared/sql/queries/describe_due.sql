-- Tables whose runs met columns that the catalogue does not know, or missed some that it does.
SELECT e.connector_uid, array_agg(e.slug ORDER BY e.slug) AS slugs
FROM {schema}.erp_sync_state t
JOIN {schema}.entities e ON e.uid = t.entity_uid
JOIN {schema}.connectors c ON c.uid = e.connector_uid
WHERE t.describe AND e.sync_enabled AND NOT e.is_deleted AND c.is_active
GROUP BY e.connector_uid
ORDER BY random() -- so that one that is slow to answer is not always first
