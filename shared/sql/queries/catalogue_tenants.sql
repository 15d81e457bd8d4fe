-- Tenants the caller may see, by name after the cursor.
SELECT name, created_at FROM {schema}.tenants
 WHERE (%(tenants)s::text[] IS NULL OR name = ANY (%(tenants)s))
   AND (%(name)s::text IS NULL OR name = %(name)s)
   AND (%(after)s::text IS NULL OR name > %(after)s)
 ORDER BY name
 LIMIT %(limit)s
