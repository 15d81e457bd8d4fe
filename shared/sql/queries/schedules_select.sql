-- Background loads that the caller may see, in uid order after the cursor.
SELECT s.*, r.status AS run_status, r.error AS run_error
  FROM {schema}.background_sync_schedule s
  JOIN {schema}.entities e ON e.uid = s.entity_uid
  JOIN {schema}.connectors c ON c.uid = e.connector_uid
  LEFT JOIN {schema}.sync_runs r ON r.uid = s.run_uid
 WHERE NOT e.is_deleted
   AND (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
   AND (%(uid)s::uuid IS NULL OR s.uid = %(uid)s)
   AND (%(entity_uid)s::uuid IS NULL OR s.entity_uid = %(entity_uid)s)
   AND (%(connector_uid)s::uuid IS NULL OR e.connector_uid = %(connector_uid)s)
   AND (%(after)s::uuid IS NULL OR s.uid > %(after)s)
 ORDER BY s.uid
 LIMIT %(limit)s
