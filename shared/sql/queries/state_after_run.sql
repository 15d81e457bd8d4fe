-- What a run leaves behind; nulls leave a field as it is, except where a proven run settled it. A pass that began
-- before a delta and ended after it must not move the watermark back.
UPDATE {schema}.erp_sync_state SET
    watermark = greatest(%(watermark)s::text COLLATE "C", watermark COLLATE "C"),
    probe = CASE WHEN %(proven)s THEN %(probe)s ELSE probe END,
    last_run_uid = %(run)s, last_sync_at = now(), last_sync_status = %(status)s,
    last_sweep_at = CASE WHEN %(swept)s THEN now() ELSE last_sweep_at END,
    unproven_snapshots = %(unproven_snapshots)s,
    deletes_barred = deletes_barred AND NOT %(swept)s
WHERE entity_uid = (SELECT entity_uid FROM {schema}.sync_runs WHERE uid = %(run)s)
