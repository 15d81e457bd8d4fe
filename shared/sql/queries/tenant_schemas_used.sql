-- A schema of the tenant's that the new list lacks, with entities in it.
SELECT e.target_schema FROM {schema}.entities e JOIN {schema}.connectors c ON c.uid = e.connector_uid
  JOIN {schema}.tenant_schemas s ON s.schema_name = e.target_schema AND s.tenant = c.tenant
 WHERE c.tenant = %(tenant)s AND NOT e.is_deleted AND NOT e.target_schema = ANY (%(schemas)s::text[]) LIMIT 1
