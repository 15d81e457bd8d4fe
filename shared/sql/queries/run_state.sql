SELECT generation, watermark, rehash FROM {schema}.erp_sync_state WHERE entity_uid = %(entity)s FOR UPDATE
