-- What a run leaves behind; nulls leave a field as it is, except where a proven run settled it. A pass that began
-- before a delta and ended after it must not move the watermark back; a run that began before its entity changed
-- must not pay off the re-reading that the change asked for. Only a run that proved what it read makes a table fresh.
-- A verification leaves nothing.
UPDATE {schema}.erp_sync_state t SET
    watermark = greatest(%(watermark)s::text COLLATE "C", t.watermark COLLATE "C"),
    probe = CASE WHEN began.outdated THEN NULL WHEN %(proven)s THEN %(probe)s ELSE t.probe END,
    fresh_at = CASE WHEN began.purpose <> 'rehash' AND (%(proven)s OR %(status)s = 'success') THEN now() ELSE t.fresh_at END,
    last_run_uid = %(run)s,
    last_sync_at = CASE WHEN began.purpose = 'rehash' THEN t.last_sync_at ELSE now() END,
    last_sync_status = CASE WHEN began.purpose = 'rehash' THEN t.last_sync_status ELSE %(status)s END,
    backfill = CASE WHEN %(filled)s AND NOT began.outdated THEN NULL ELSE t.backfill END,
    last_sweep_at = CASE WHEN %(swept)s AND NOT began.outdated THEN now() ELSE t.last_sweep_at END,
    -- Said once: a shape that the last run met already was asked about then, and an answer may be no use.
    describe = t.describe OR (NOT began.outdated AND began.may_evolve AND (
        (coalesce(%(error)s::jsonb->>'code', '') = 'schema_drift' AND %(error)s::jsonb->>'message' IS DISTINCT FROM began.last_message)
        OR EXISTS (SELECT 1 FROM jsonb_array_elements_text(%(ignored)s::jsonb) AS met (name)
                   WHERE NOT began.known ? met.name))),
    -- Kept back while a key absent once waits for another pass: so the next tick brings one.
    deletes_seen = CASE WHEN %(swept)s AND NOT began.outdated AND NOT EXISTS (
                            SELECT 1 FROM {schema}.missing_keys m JOIN {schema}.entities e ON e.uid = m.entity_uid
                            WHERE m.entity_uid = t.entity_uid AND m.passes < e.delete_after_missing)
                        THEN coalesce(%(probe)s::jsonb ->> 'deletes', t.deletes_seen) ELSE t.deletes_seen END,
    unproven_snapshots = coalesce(%(unproven_snapshots)s::int, t.unproven_snapshots),
    deletes_barred = t.deletes_barred AND NOT %(swept)s
FROM (
    SELECT r.entity_uid, r.purpose, e.updated_at > r.created_at AS outdated,
           coalesce(r.config->>'contract', 'evolve') = 'evolve' AS may_evolve,
           coalesce(r.config->'unmapped', '[]') || coalesce(last.ignored_columns, '[]') AS known,
           last.error->>'message' AS last_message, r.purpose = 'verify' AS verifies
    FROM {schema}.sync_runs r JOIN {schema}.entities e ON e.uid = r.entity_uid
    JOIN {schema}.erp_sync_state s ON s.entity_uid = r.entity_uid
    LEFT JOIN {schema}.sync_runs last ON last.uid = s.last_run_uid
    WHERE r.uid = %(run)s
) began
WHERE t.entity_uid = began.entity_uid AND NOT began.verifies
