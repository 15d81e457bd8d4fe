DELETE FROM {schema}.tenant_schemas WHERE tenant = %(tenant)s AND NOT schema_name = ANY (%(schemas)s::text[])
