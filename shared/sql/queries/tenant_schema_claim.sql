-- The first tenant takes any schema that is nobody's; the others get theirs from an admin.
INSERT INTO {schema}.tenant_schemas (schema_name, tenant, position)
SELECT %(target_schema)s::text, c.tenant, 1000 FROM {schema}.connectors c
 WHERE c.uid = %(connector_uid)s AND c.tenant = %(first)s ON CONFLICT DO NOTHING
