INSERT INTO {schema}.tenant_regions (tenant, region, workspace_url)
SELECT %(tenant)s, wanted.region, wanted.url FROM unnest(%(regions)s::text[], %(urls)s::text[]) AS wanted (region, url)
ON CONFLICT (tenant, region) DO UPDATE SET workspace_url = excluded.workspace_url
