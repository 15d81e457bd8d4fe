-- Of two tenants that claim a name at once, the second learns who has it.
INSERT INTO {schema}.tenant_secrets AS t (name, tenant) VALUES (%(name)s, %(tenant)s)
ON CONFLICT (name) DO UPDATE SET tenant = t.tenant RETURNING tenant
