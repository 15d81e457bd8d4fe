-- Entities whose page size and interval follow what is measured, and what was learned of each. Runs inside one
-- transaction with search_path = {schema}.
ALTER TABLE entities ADD COLUMN IF NOT EXISTS adaptive boolean NOT NULL DEFAULT false;
ALTER TABLE erp_sync_state ADD COLUMN IF NOT EXISTS adapted jsonb; -- {"paging","interval","changes"}; each knows its base
