-- Rows by entity over the last 24 hours, those that lost the largest share first.
SELECT e.uid AS entity_uid, e.slug, c.name AS connector, sum(l.fetched)::bigint AS fetched,
       sum(l.rejected)::bigint AS rejected
  FROM {schema}.sync_runs r
  JOIN {schema}.sync_slices l ON l.run_uid = r.uid
  JOIN {schema}.entities e ON e.uid = r.entity_uid
  JOIN {schema}.connectors c ON c.uid = e.connector_uid
 WHERE r.created_at > now() - interval '24 hours' AND NOT e.is_deleted
   AND (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
   AND (%(entity_uid)s::uuid IS NULL OR e.uid = %(entity_uid)s)
   AND (%(connector_uid)s::uuid IS NULL OR c.uid = %(connector_uid)s)
 GROUP BY e.uid, e.slug, c.name
HAVING sum(l.fetched) > 0
 ORDER BY sum(l.rejected)::float8 / sum(l.fetched) DESC, e.uid
 LIMIT %(limit)s
