-- What runs are for, and what slices, entities and rejects remember of progress. Runs inside one transaction with
-- search_path = {schema}.

ALTER TABLE sync_runs DROP CONSTRAINT sync_runs_purpose_check, ADD CONSTRAINT sync_runs_purpose_check CHECK (
    purpose IN ('delta', 'sweep', 'refresh', 'retry', 'window', 'backfill', 'rehash', 'verify'));
ALTER TABLE sync_slices DROP CONSTRAINT sync_slices_kind_check, ADD CONSTRAINT sync_slices_kind_check CHECK (
    kind IN ('walk', 'conclude', 'publish', 'retry'));

-- Failures since the last committed chunk; `attempt` goes on counting all of them.
ALTER TABLE sync_slices ADD COLUMN IF NOT EXISTS failures integer NOT NULL DEFAULT 0;
UPDATE sync_slices SET failures = attempt WHERE status IN ('queued', 'running') AND attempt > 0;

-- When the target was last known to hold what the source holds: the end of a proven run, or a probe that found no change.
ALTER TABLE erp_sync_state ADD COLUMN IF NOT EXISTS fresh_at timestamptz;
UPDATE erp_sync_state t SET fresh_at = (
    SELECT max(r.completed_at) FROM sync_runs r
    WHERE r.entity_uid = t.entity_uid AND (r.status = 'success' OR (r.status = 'partial' AND r.error IS NULL)))
WHERE t.fresh_at IS NULL;

-- When the landed copy of a key that stands twice was last met: while both come, the reject of the other one stays.
ALTER TABLE failed_records ADD COLUMN IF NOT EXISTS rival_met_at timestamptz;
