-- A name of a deleted connector is free again: the unique index leaves deleted ones out.
INSERT INTO {schema}.connectors AS c
    (uid, tenant, name, kind, base_url, auth_type, secret_name, time_zone, max_concurrent_syncs, is_active)
VALUES (%(uid)s, %(tenant)s, %(name)s, %(kind)s, %(base_url)s, %(auth_type)s, %(secret_name)s, %(time_zone)s,
        %(max_concurrent_syncs)s, %(is_active)s)
RETURNING c.*, ARRAY(SELECT s.schema_name FROM {schema}.tenant_schemas s
              WHERE s.tenant = c.tenant ORDER BY s.position, s.schema_name) AS target_schemas
