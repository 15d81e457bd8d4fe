UPDATE {schema}.background_sync_schedule SET cursor = NULL WHERE entity_uid = %(entity)s AND cursor IS NOT NULL
