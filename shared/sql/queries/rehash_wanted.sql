-- Rows were adopted, or got another key: nothing else may run before their hashes are right.
UPDATE {schema}.erp_sync_state SET rehash = %(why)s, deletes_barred = true, due_at = clock_timestamp() WHERE entity_uid = %(entity)s
