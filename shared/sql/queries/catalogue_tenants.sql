-- Tenants the caller may see, by name after the cursor; the first of target_schemas is the default.
SELECT t.name, t.created_at,
       ARRAY(SELECT s.schema_name FROM {schema}.tenant_schemas s
              WHERE s.tenant = t.name ORDER BY s.position, s.schema_name) AS target_schemas
  FROM {schema}.tenants t
 WHERE (%(tenants)s::text[] IS NULL OR t.name = ANY (%(tenants)s))
   AND (%(name)s::text IS NULL OR t.name = %(name)s)
   AND (%(after)s::text IS NULL OR t.name > %(after)s)
 ORDER BY t.name
 LIMIT %(limit)s
