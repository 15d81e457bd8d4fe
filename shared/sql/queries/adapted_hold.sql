-- What was learned of those that adapt. One order of locks, because a tick takes many and the end of a run one.
SELECT t.entity_uid, t.adapted, e.slug, e.page_size, e.page_size_max, e.sync_interval_seconds, clock_timestamp() AS now
FROM {schema}.erp_sync_state t JOIN {schema}.entities e ON e.uid = t.entity_uid
WHERE t.entity_uid = ANY (%(entities)s) AND e.adaptive AND NOT e.is_deleted ORDER BY t.entity_uid FOR UPDATE OF t
