-- What a source's change table said of deletions before the last pass over the whole table: when it says something else,
-- another pass is due. Runs inside one transaction with search_path = {schema}.
ALTER TABLE erp_sync_state ADD COLUMN IF NOT EXISTS deletes_seen text;
