-- Children without their parents, by status.
SELECT p.status, count(*) AS n
  FROM {schema}.pending_children p
  JOIN {schema}.entities e ON e.uid = p.entity_uid
  JOIN {schema}.connectors c ON c.uid = e.connector_uid
 WHERE p.status IN ('waiting', 'orphan') AND NOT e.is_deleted
   AND (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
   AND (%(entity_uid)s::uuid IS NULL OR e.uid = %(entity_uid)s)
   AND (%(connector_uid)s::uuid IS NULL OR c.uid = %(connector_uid)s)
 GROUP BY p.status
