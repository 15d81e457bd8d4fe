SELECT coalesce(max_concurrent_syncs, %(default_limit)s) AS limit_of_connector
FROM {schema}.connectors WHERE uid = %(connector)s FOR UPDATE
