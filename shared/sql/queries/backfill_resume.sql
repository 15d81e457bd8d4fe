-- A backfill goes on where the last one was cut off, if that one read by key under the very same configuration.
UPDATE {schema}.sync_slices s SET cursor = last.cursor
FROM {schema}.sync_runs mine, LATERAL (
    SELECT w.cursor, p.status, p.error, p.config = mine.config AS is_same
    FROM {schema}.sync_runs p JOIN {schema}.sync_slices w ON w.run_uid = p.uid AND w.slice = 0
    WHERE p.entity_uid = mine.entity_uid AND p.purpose = 'backfill' AND p.uid <> mine.uid
    ORDER BY p.created_at DESC LIMIT 1) last
WHERE mine.uid = %(run)s AND s.run_uid = mine.uid AND s.slice = 0 AND last.is_same
  AND last.cursor->'walk'->>'cursor' IS NOT NULL -- a page's number names other rows by now
  AND (last.status = 'cancelled'
       OR last.status = 'failed' AND last.error->>'code' IN ('source_unavailable', 'source_throttled', 'target_unavailable',
                                                             'poisoned'))
