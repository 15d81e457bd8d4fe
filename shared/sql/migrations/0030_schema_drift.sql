-- Schema drift: contracts, backfills of added columns, re-hashing of adopted and re-keyed targets.

ALTER TABLE entities ADD COLUMN IF NOT EXISTS contract text NOT NULL DEFAULT 'evolve'
    CHECK (contract IN ('evolve', 'freeze', 'reject'));
-- Target columns that rows loaded before may lack, since rows that did not change are not sent again; null: none.
ALTER TABLE erp_sync_state ADD COLUMN IF NOT EXISTS backfill jsonb;
-- Runs met another shape than the catalogue knows: ask the connector for this table's description again.
ALTER TABLE erp_sync_state ADD COLUMN IF NOT EXISTS describe boolean NOT NULL DEFAULT false;
-- Why the stored rows' hashes must be computed anew before anything else may run; null: they are right.
ALTER TABLE erp_sync_state ADD COLUMN IF NOT EXISTS rehash text CHECK (rehash IN ('adopt', 'rekey'));
