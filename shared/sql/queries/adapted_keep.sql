UPDATE {schema}.erp_sync_state SET adapted = %(adapted)s WHERE entity_uid = %(entity)s
