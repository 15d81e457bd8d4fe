-- What a run leaves behind; nulls leave a field as it is, except where a proven run settled it. A pass that began
-- before a delta and ended after it must not move the watermark back; a run that began before its entity changed
-- must not pay off the re-reading that the change asked for.
UPDATE {schema}.erp_sync_state t SET
    watermark = greatest(%(watermark)s::text COLLATE "C", t.watermark COLLATE "C"),
    probe = CASE WHEN began.outdated THEN NULL WHEN %(proven)s THEN %(probe)s ELSE t.probe END,
    last_run_uid = %(run)s, last_sync_at = now(), last_sync_status = %(status)s,
    last_sweep_at = CASE WHEN %(swept)s AND NOT began.outdated THEN now() ELSE t.last_sweep_at END,
    -- Kept back while a key absent once waits for another pass: so the next tick brings one.
    deletes_seen = CASE WHEN %(swept)s AND NOT began.outdated AND NOT EXISTS (
                            SELECT 1 FROM {schema}.missing_keys m JOIN {schema}.entities e ON e.uid = m.entity_uid
                            WHERE m.entity_uid = t.entity_uid AND m.passes < e.delete_after_missing)
                        THEN coalesce(%(probe)s::jsonb ->> 'deletes', t.deletes_seen) ELSE t.deletes_seen END,
    unproven_snapshots = %(unproven_snapshots)s,
    deletes_barred = t.deletes_barred AND NOT %(swept)s
FROM (
    SELECT r.entity_uid, e.updated_at > r.created_at AS outdated
    FROM {schema}.sync_runs r JOIN {schema}.entities e ON e.uid = r.entity_uid WHERE r.uid = %(run)s
) began
WHERE t.entity_uid = began.entity_uid
