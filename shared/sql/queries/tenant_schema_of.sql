SELECT 1 FROM {schema}.tenant_schemas s JOIN {schema}.connectors c ON c.tenant = s.tenant
 WHERE c.uid = %(connector_uid)s AND s.schema_name = %(target_schema)s FOR SHARE OF s
