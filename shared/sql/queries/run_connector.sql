SELECT connector_uid FROM {schema}.sync_runs WHERE uid = %(run)s
