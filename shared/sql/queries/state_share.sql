SELECT 1 FROM {schema}.erp_sync_state WHERE entity_uid = %(entity)s FOR SHARE
