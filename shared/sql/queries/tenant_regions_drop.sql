DELETE FROM {schema}.tenant_regions WHERE tenant = %(tenant)s AND NOT region = ANY (%(regions)s::text[])
