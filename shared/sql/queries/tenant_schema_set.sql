-- No row comes back where another tenant has the schema, or where its entities stand in it from of old.
INSERT INTO {schema}.tenant_schemas AS s (schema_name, tenant, position)
SELECT %(name)s::text, %(tenant)s::text, %(position)s::int
 WHERE NOT EXISTS (
    SELECT FROM {schema}.entities e JOIN {schema}.connectors c ON c.uid = e.connector_uid
     WHERE e.target_schema = %(name)s AND c.tenant <> %(tenant)s AND NOT e.is_deleted
       AND NOT EXISTS (SELECT FROM {schema}.tenant_schemas o WHERE o.schema_name = %(name)s AND o.tenant = %(tenant)s))
ON CONFLICT (schema_name) DO UPDATE SET position = excluded.position WHERE s.tenant = excluded.tenant
