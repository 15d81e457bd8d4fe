-- Which tables wait for which, where a parent's time has come. A parent that is no longer declared, or whose table
-- is gone, keeps nobody waiting, orphans included.
WITH pairs AS (
    SELECT entity_uid, parent_uid, bool_or(NOT is_orphan AND next_attempt_at <= clock_timestamp()) AS is_due
    FROM {schema}.awaited_parents WHERE arrived_at IS NULL GROUP BY entity_uid, parent_uid
), looked_up AS (
    SELECT a.entity_uid, a.parent_uid, p.target_schema, p.target_table, a.is_due,
           NOT p.is_deleted AND to_regclass(format('%I.%I', p.target_schema, p.target_table)) IS NOT NULL
               AND EXISTS (SELECT 1 FROM jsonb_array_elements(e.parents) d WHERE d ->> 'slug' = p.slug) AS stands
    FROM pairs a
    JOIN {schema}.entities e ON e.uid = a.entity_uid AND NOT e.is_deleted
    JOIN {schema}.entities p ON p.uid = a.parent_uid
)
SELECT entity_uid, parent_uid, target_schema, target_table, stands FROM looked_up WHERE is_due OR NOT stands
