SELECT key_hash, 'held' AS why FROM {schema}.pending_children WHERE entity_uid = %(entity)s AND status <> 'released'
