-- Which tables wait for which, where a parent's time has come. A parent that is no longer declared, or whose table
-- is gone, keeps nobody waiting.
SELECT DISTINCT a.entity_uid, a.parent_uid, p.target_schema, p.target_table,
       NOT p.is_deleted AND to_regclass(format('%I.%I', p.target_schema, p.target_table)) IS NOT NULL
           AND EXISTS (SELECT 1 FROM jsonb_array_elements(e.parents) d WHERE d ->> 'slug' = p.slug) AS stands
FROM {schema}.awaited_parents a
JOIN {schema}.entities e ON e.uid = a.entity_uid AND NOT e.is_deleted
JOIN {schema}.entities p ON p.uid = a.parent_uid
WHERE a.arrived_at IS NULL AND NOT a.is_orphan AND a.next_attempt_at <= clock_timestamp()
