-- A connector never changes its tenant.
UPDATE {schema}.connectors c
   SET name = %(name)s, kind = %(kind)s, base_url = %(base_url)s, auth_type = %(auth_type)s,
       secret_name = %(secret_name)s, time_zone = %(time_zone)s,
       max_concurrent_syncs = %(max_concurrent_syncs)s, is_active = %(is_active)s, updated_at = now()
 WHERE uid = %(uid)s AND NOT is_deleted
RETURNING c.*, ARRAY(SELECT s.schema_name FROM {schema}.tenant_schemas s
              WHERE s.tenant = c.tenant ORDER BY s.position, s.schema_name) AS target_schemas
