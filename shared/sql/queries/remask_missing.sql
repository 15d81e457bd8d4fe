DELETE FROM {schema}.missing_keys WHERE entity_uid = %(entity)s AND %(keys)s
