SELECT region, tenant_region_id FROM deltashare.tenant_regions WHERE is_current AND NOT is_deleted AND tenant_id = %(tenant_id)s
