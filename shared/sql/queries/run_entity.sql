-- The connector's row first (admission is counted under it), then the entity's state: the order of all locks.
SELECT e.uid, e.connector_uid, coalesce(c.max_concurrent_syncs, %(default_limit)s) AS limit_of_connector
FROM {schema}.entities e JOIN {schema}.connectors c ON c.uid = e.connector_uid
WHERE e.uid = %(entity)s AND NOT e.is_deleted FOR UPDATE OF c
