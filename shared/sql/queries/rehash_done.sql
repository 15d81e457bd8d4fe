UPDATE {schema}.erp_sync_state SET rehash = NULL, due_at = clock_timestamp() WHERE entity_uid = %(entity)s
