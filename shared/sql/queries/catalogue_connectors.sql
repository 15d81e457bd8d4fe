-- Connectors the caller may see, in uid order after the cursor.
SELECT c.*, ARRAY(SELECT s.schema_name FROM {schema}.tenant_schemas s
              WHERE s.tenant = c.tenant ORDER BY s.position, s.schema_name) AS target_schemas
  FROM {schema}.connectors c
 WHERE NOT is_deleted
   AND (%(tenants)s::text[] IS NULL OR tenant = ANY (%(tenants)s))
   AND (%(uid)s::uuid IS NULL OR uid = %(uid)s)
   AND (%(name)s::text IS NULL OR name = %(name)s)
   AND (%(after)s::uuid IS NULL OR uid > %(after)s)
 ORDER BY uid
 LIMIT %(limit)s
