SELECT uid FROM {schema}.sync_runs WHERE entity_uid = %(entity)s AND status IN ('queued', 'running')
