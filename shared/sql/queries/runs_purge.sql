-- Runs that nobody asks about any more, with what hangs on them. Kept however old: what an entity's or a schedule's
-- state names, and an entity's newest verification, which says when the next is due. failed_records keep their own facts.
WITH old AS (
    SELECT r.uid FROM {schema}.sync_runs r
    WHERE r.created_at < now() - make_interval(days => %(days)s) AND r.status NOT IN ('queued', 'running')
      AND NOT EXISTS (SELECT 1 FROM {schema}.erp_sync_state t WHERE t.entity_uid = r.entity_uid AND t.last_run_uid = r.uid)
      AND NOT EXISTS (SELECT 1 FROM {schema}.background_sync_schedule s
                      WHERE s.entity_uid = r.entity_uid AND s.run_uid = r.uid)
      AND (r.purpose <> 'verify' OR EXISTS (
            SELECT 1 FROM {schema}.sync_runs n
            WHERE n.entity_uid = r.entity_uid AND n.purpose = 'verify' AND n.created_at > r.created_at))
    ORDER BY r.created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), verified AS (
    DELETE FROM {schema}.verifications v USING old WHERE v.uid = old.uid
), gathered AS (
    DELETE FROM {schema}.verification_pieces p USING old WHERE p.uid = old.uid
), passed AS (
    DELETE FROM {schema}.passes p USING old WHERE p.uid = old.uid
), sliced AS (
    DELETE FROM {schema}.sync_slices s USING old WHERE s.run_uid = old.uid
)
DELETE FROM {schema}.sync_runs r USING old WHERE r.uid = old.uid
