-- Rejects the caller may see, newest first after the cursor.
SELECT f.*
  FROM {schema}.failed_records f
  JOIN {schema}.entities e ON e.uid = f.entity_uid
  JOIN {schema}.connectors c ON c.uid = e.connector_uid
 WHERE (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
   AND (%(uid)s::uuid IS NULL OR f.uid = %(uid)s)
   AND (%(entity_uid)s::uuid IS NULL OR f.entity_uid = %(entity_uid)s)
   AND (%(connector_uid)s::uuid IS NULL OR e.connector_uid = %(connector_uid)s)
   AND (%(status)s::text IS NULL OR f.status = %(status)s)
   AND (%(code)s::text IS NULL OR f.code = %(code)s)
   AND (%(after_at)s::timestamptz IS NULL OR (f.created_at, f.uid) < (%(after_at)s, %(after_uid)s::uuid))
 ORDER BY f.created_at DESC, f.uid DESC
 LIMIT %(limit)s
