UPDATE {schema}.erp_sync_state SET indexes_deferred = %(deferred)s WHERE entity_uid = %(entity)s
