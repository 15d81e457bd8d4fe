SELECT name FROM {schema}.tenants
