-- How many rows of each entity wait, for how many parents of which table; the line without a table is the whole.
SELECT h._bridge_entity_uid AS entity_uid, p.slug AS parent, count(DISTINCT h._bridge_uid) AS children,
       count(DISTINCT a.key_hash) AS parents,
       count(DISTINCT h._bridge_uid) FILTER (WHERE a.is_orphan) AS orphans,
       min(h._bridge_held_at) AS oldest
  FROM {schema}.held_rows h
  JOIN {schema}.entities e ON e.uid = h._bridge_entity_uid AND NOT e.is_deleted
  JOIN {schema}.connectors c ON c.uid = e.connector_uid
  LEFT JOIN LATERAL unnest(h._bridge_awaits) AS w (key_hash) ON w.key_hash IS NOT NULL
  LEFT JOIN {schema}.awaited_parents a ON a.entity_uid = e.uid AND a.key_hash = w.key_hash
  LEFT JOIN {schema}.entities p ON p.uid = a.parent_uid
 WHERE (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
   AND (%(entity_uid)s::uuid IS NULL OR e.uid = %(entity_uid)s)
   AND (%(connector_uid)s::uuid IS NULL OR e.connector_uid = %(connector_uid)s)
 GROUP BY GROUPING SETS ((h._bridge_entity_uid), (h._bridge_entity_uid, p.slug))
HAVING GROUPING(p.slug) = 1 OR p.slug IS NOT NULL
 ORDER BY entity_uid, parent NULLS FIRST
