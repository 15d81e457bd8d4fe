-- Rejects the caller may see, by entity, code and status.
SELECT f.entity_uid, f.code, f.status, count(*) AS count, min(f.created_at) AS oldest, max(f.created_at) AS newest
  FROM {schema}.failed_records f
  JOIN {schema}.entities e ON e.uid = f.entity_uid
  JOIN {schema}.connectors c ON c.uid = e.connector_uid
 WHERE (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
   AND (%(entity_uid)s::uuid IS NULL OR f.entity_uid = %(entity_uid)s)
   AND (%(connector_uid)s::uuid IS NULL OR e.connector_uid = %(connector_uid)s)
   AND (%(status)s::text IS NULL OR f.status = %(status)s)
 GROUP BY f.entity_uid, f.code, f.status
 ORDER BY count(*) DESC, f.entity_uid, f.code, f.status
 LIMIT 1000
