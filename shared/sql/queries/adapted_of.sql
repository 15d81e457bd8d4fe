SELECT adapted FROM {schema}.erp_sync_state WHERE entity_uid = %(entity)s
