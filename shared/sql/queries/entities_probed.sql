UPDATE {schema}.erp_sync_state t SET last_probed_at = clock_timestamp(), trouble = %(trouble)s,
    fresh_at = CASE WHEN %(unchanged)s THEN clock_timestamp() ELSE t.fresh_at END,
    due_at = clock_timestamp() + make_interval(secs => 
        CASE WHEN e.adaptive AND (t.adapted #>> '{{interval,base}}')::int = coalesce(e.sync_interval_seconds, %(interval_s)s)
    THEN (t.adapted #>> '{{interval,seconds}}')::int ELSE coalesce(e.sync_interval_seconds, %(interval_s)s) END)
FROM {schema}.entities e WHERE e.uid = t.entity_uid AND t.entity_uid = ANY (%(entities)s)
