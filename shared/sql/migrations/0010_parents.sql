-- Children that wait for their parents, and rejects that are tried again. Safe for a filled database.

-- Parents whose delta goes before this run's, fixed when the run is created; empty where they form a circle.
ALTER TABLE sync_runs ADD COLUMN waits_for uuid[] NOT NULL DEFAULT '{}';

-- What every waiting row has. The rows themselves stand in one table an entity, held_<entity's uid>, which inherits
-- this one and adds the target's own columns under their own types: landing a row is then INSERT .. SELECT, and
-- nothing is written as text and read again. Our columns bear the prefix that no mapped column may have.
CREATE TABLE held_rows (
    _bridge_uid uuid NOT NULL,                -- the row's _bridge_uid, should it be new when it lands
    _bridge_entity_uid uuid NOT NULL,
    _bridge_run_uid uuid NOT NULL,            -- the run that fetched it
    _bridge_generation bigint NOT NULL,       -- an older one's rows wait for the pass that reads them again
    _bridge_format smallint NOT NULL DEFAULT 1,
    _bridge_erp_key_hash uuid NOT NULL,
    _bridge_erp_data_hash bytea NOT NULL,
    _bridge_erp_rowversion text COLLATE "C",
    _bridge_erp_ref_str text,
    _bridge_awaits uuid[] NOT NULL,           -- by declared parent: the key hash it lacks, NULL where it lacks none
    _bridge_read_at timestamptz NOT NULL,     -- before its page was asked for: rows written later are newer
    _bridge_held_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row for each parent that somebody waits for, however many they are: a parent that arrives marks one row here.
CREATE TABLE awaited_parents (
    entity_uid uuid NOT NULL,                 -- whose rows wait; entities are never deleted as rows
    parent_uid uuid NOT NULL,
    key_hash uuid NOT NULL,
    key text,
    run_uid uuid NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    arrived_at timestamptz,                   -- due: the next retry slice takes its children up
    is_orphan boolean NOT NULL DEFAULT false, -- no longer asked for by time; an arrival still wakes its children
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (entity_uid, key_hash, parent_uid)
);
CREATE INDEX awaited_parents_by_parent ON awaited_parents (parent_uid, key_hash);
CREATE INDEX awaited_parents_arrived ON awaited_parents (entity_uid) WHERE arrived_at IS NOT NULL;
CREATE INDEX awaited_parents_due ON awaited_parents (next_attempt_at) WHERE arrived_at IS NULL AND NOT is_orphan;

CREATE VIEW pending_children AS
SELECT h._bridge_uid AS uid, h._bridge_entity_uid AS entity_uid, h._bridge_run_uid AS run_uid,
       h._bridge_erp_ref_str AS key, h._bridge_erp_key_hash AS key_hash, h._bridge_erp_rowversion AS version,
       h._bridge_generation AS generation, h._bridge_held_at AS created_at,
       CASE WHEN w.orphans > 0 THEN 'orphan' ELSE 'waiting' END AS status,
       coalesce(w.attempts, 0) AS attempts, w.next_attempt_at, coalesce(w.waiting_for, '[]'::jsonb) AS waiting_for
FROM held_rows h
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE a.is_orphan) AS orphans, max(a.attempts) AS attempts,
           min(a.next_attempt_at) FILTER (WHERE NOT a.is_orphan) AS next_attempt_at,
           jsonb_agg(jsonb_build_object('entity', p.slug, 'key', a.key) ORDER BY p.slug, a.key) AS waiting_for
    FROM awaited_parents a JOIN entities p ON p.uid = a.parent_uid
    WHERE a.entity_uid = h._bridge_entity_uid AND a.key_hash = ANY (h._bridge_awaits)
) w ON true;

-- Rejects: asked to be tried again where next_attempt_at is set; who closed one and why.
-- refused_at: when the source's row was refused; what the target got since then is newer.
ALTER TABLE failed_records ADD COLUMN closed_by text, ADD COLUMN reason text, ADD COLUMN requested_by text,
    ADD COLUMN refused_at timestamptz;
UPDATE failed_records SET refused_at = updated_at;
ALTER TABLE failed_records ALTER COLUMN refused_at SET NOT NULL, ALTER COLUMN refused_at SET DEFAULT now();
CREATE INDEX failed_records_due ON failed_records (entity_uid, next_attempt_at)
    WHERE status = 'open' AND next_attempt_at IS NOT NULL;
CREATE INDEX failed_records_kept ON failed_records (updated_at) WHERE raw IS NOT NULL;

-- Above this share of rejected rows a run fails; null: never.
ALTER TABLE entities ADD COLUMN reject_threshold_percent numeric
    CHECK (reject_threshold_percent >= 0 AND reject_threshold_percent <= 100);
