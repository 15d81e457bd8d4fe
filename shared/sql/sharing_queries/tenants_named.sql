SELECT tenant_id FROM deltashare.tenants WHERE is_current AND name = %(name)s ORDER BY is_deleted, tenant_id LIMIT 1
