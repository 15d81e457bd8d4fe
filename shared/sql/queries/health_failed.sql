-- Runs by when they were made, since that is indexed: one older than a week fails in no list of news.
SELECT r.uid AS run, e.slug AS entity, c.name AS connector, c.tenant, r.error ->> 'code' AS code, r.completed_at,
       count(*) OVER () AS total
  FROM {schema}.sync_runs r
  JOIN {schema}.entities e ON e.uid = r.entity_uid
  JOIN {schema}.connectors c ON c.uid = r.connector_uid
 WHERE r.created_at > %(since)s::timestamptz - interval '7 days' AND r.status = 'failed' AND r.completed_at > %(since)s
 ORDER BY r.completed_at
 LIMIT %(limit)s
