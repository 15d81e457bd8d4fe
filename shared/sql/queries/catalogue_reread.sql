-- Rows that did not change at the source lack these columns' values: a load that reads them all is due.
UPDATE {schema}.erp_sync_state SET probe = NULL, due_at = clock_timestamp(), backfill = %(columns)s WHERE entity_uid = %(entity)s
