-- Schema drift: contracts, backfills of added columns, re-hashing of adopted and re-keyed targets.

ALTER TABLE entities ADD COLUMN IF NOT EXISTS contract text NOT NULL DEFAULT 'evolve'
    CHECK (contract IN ('evolve', 'freeze', 'reject'));
-- Target columns that rows loaded before may lack, since rows that did not change are not sent again; null: none.
ALTER TABLE erp_sync_state ADD COLUMN IF NOT EXISTS backfill jsonb;
-- Runs met another shape than the catalogue knows: ask the connector for this table's description again.
ALTER TABLE erp_sync_state ADD COLUMN IF NOT EXISTS describe boolean NOT NULL DEFAULT false;
-- Why the stored rows' hashes must be computed anew before anything else may run; null: they are right.
ALTER TABLE erp_sync_state ADD COLUMN IF NOT EXISTS rehash text CHECK (rehash IN ('adopt', 'rekey'));

-- Two more purposes beside whatever the table allows by now.
DO $$
DECLARE
    words text;
BEGIN
    SELECT string_agg(DISTINCT quote_literal(word), ', ') INTO words FROM (
        SELECT (regexp_matches(pg_get_constraintdef(c.oid), '''([a-z_]+)''', 'g'))[1] AS word
        FROM pg_constraint c
        WHERE c.conrelid = 'sync_runs'::regclass AND c.conname = 'sync_runs_purpose_check'
        UNION ALL VALUES ('backfill'), ('rehash')
    ) found;
    ALTER TABLE sync_runs DROP CONSTRAINT IF EXISTS sync_runs_purpose_check;
    EXECUTE format('ALTER TABLE sync_runs ADD CONSTRAINT sync_runs_purpose_check CHECK (purpose IN (%s))', words);
END $$;
