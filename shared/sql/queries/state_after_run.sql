-- What a run leaves behind; nulls leave a field as it is, except where a proven run settled it. A pass that began
-- before a delta and ended after it must not move the watermark back; a run that began before its entity changed
-- must not pay off the re-reading that the change asked for. Only a run that proved what it read makes a table fresh.
UPDATE {schema}.erp_sync_state t SET
    watermark = greatest(%(watermark)s::text COLLATE "C", t.watermark COLLATE "C"),
    probe = CASE WHEN began.outdated THEN NULL WHEN %(proven)s THEN %(probe)s ELSE t.probe END,
    fresh_at = CASE WHEN %(proven)s OR %(status)s = 'success' THEN now() ELSE t.fresh_at END,
    last_run_uid = %(run)s, last_sync_at = now(), last_sync_status = %(status)s,
    last_sweep_at = CASE WHEN %(swept)s AND NOT began.outdated THEN now() ELSE t.last_sweep_at END,
    unproven_snapshots = %(unproven_snapshots)s,
    deletes_barred = t.deletes_barred AND NOT %(swept)s
FROM (
    SELECT r.entity_uid, e.updated_at > r.created_at AS outdated
    FROM {schema}.sync_runs r JOIN {schema}.entities e ON e.uid = r.entity_uid WHERE r.uid = %(run)s
) began
WHERE t.entity_uid = began.entity_uid
