UPDATE {schema}.erp_sync_state t SET last_probed_at = clock_timestamp(), trouble = %(trouble)s,
    fresh_at = CASE WHEN %(unchanged)s THEN clock_timestamp() ELSE t.fresh_at END,
    due_at = clock_timestamp() + make_interval(secs => coalesce(e.sync_interval_seconds, %(interval_s)s))
FROM {schema}.entities e WHERE e.uid = t.entity_uid AND t.entity_uid = ANY (%(entities)s)
