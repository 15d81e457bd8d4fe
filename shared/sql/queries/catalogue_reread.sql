-- Rows that did not change at the source lack a new column's values: the next pass reads them all.
UPDATE {schema}.erp_sync_state SET probe = NULL, last_sweep_at = NULL, due_at = clock_timestamp() WHERE entity_uid = %(entity)s
