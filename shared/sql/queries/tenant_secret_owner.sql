SELECT tenant FROM {schema}.tenant_secrets WHERE name = %(name)s
