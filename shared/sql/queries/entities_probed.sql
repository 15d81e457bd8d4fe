UPDATE {schema}.erp_sync_state t SET last_probed_at = clock_timestamp(), trouble = %(trouble)s,
    due_at = clock_timestamp() + make_interval(secs => coalesce(e.sync_interval_seconds, %(interval_s)s))
FROM {schema}.entities e WHERE e.uid = t.entity_uid AND t.entity_uid = ANY (%(entities)s)
