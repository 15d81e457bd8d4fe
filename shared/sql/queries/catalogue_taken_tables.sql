-- Names that other entities hold in the schema that the connector's tenant uses by default.
SELECT e.target_table AS name FROM {schema}.entities e
 WHERE NOT e.is_deleted AND e.target_schema = (
    SELECT s.schema_name FROM {schema}.tenant_schemas s JOIN {schema}.connectors c ON c.tenant = s.tenant
     WHERE c.uid = %(connector_uid)s ORDER BY s.position, s.schema_name LIMIT 1)
