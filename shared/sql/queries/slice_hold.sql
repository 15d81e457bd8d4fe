-- The connector first, then the entity, then the slice: the order of all locks. The answer is checked against the claim.
WITH held_connector AS MATERIALIZED (
    SELECT uid, coalesce(max_concurrent_syncs, %(default_limit)s) AS limit_of_connector
    FROM {schema}.connectors WHERE uid = (SELECT connector_uid FROM {schema}.sync_runs WHERE uid = %(run)s) FOR UPDATE
), held_state AS MATERIALIZED (
    SELECT t.* FROM {schema}.erp_sync_state t, held_connector
    WHERE t.entity_uid = (SELECT entity_uid FROM {schema}.sync_runs WHERE uid = %(run)s) FOR UPDATE OF t
)
SELECT s.epoch, s.status, s.failures, s.lease_until, s.dequeue_count, t.generation, t.watermark, t.unproven_snapshots,
       c.uid AS connector_uid, c.limit_of_connector, r.status AS run_status, clock_timestamp() AS now
FROM {schema}.sync_slices s JOIN {schema}.sync_runs r ON r.uid = s.run_uid, held_state t, held_connector c
WHERE s.run_uid = %(run)s AND s.slice = %(slice)s FOR UPDATE OF s
