SELECT region, workspace_url FROM {schema}.tenant_regions WHERE tenant = %(tenant)s ORDER BY region
