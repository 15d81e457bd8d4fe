SELECT key_hash FROM {schema}.missing_keys WHERE entity_uid = %(entity)s AND passes + 1 >= %(after)s
