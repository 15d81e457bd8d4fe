-- Entities the caller may see, with what their last runs left behind, in uid order after the cursor.
SELECT e.*, s.last_sync_at, s.last_sync_status, s.watermark, s.trouble, s.adapted, c.kind AS connector_kind
  FROM {schema}.entities e
  JOIN {schema}.connectors c ON c.uid = e.connector_uid
  LEFT JOIN {schema}.erp_sync_state s ON s.entity_uid = e.uid
 WHERE NOT e.is_deleted
   AND (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
   AND (%(uid)s::uuid IS NULL OR e.uid = %(uid)s)
   AND (%(connector_uid)s::uuid IS NULL OR e.connector_uid = %(connector_uid)s)
   AND (%(status)s::text IS NULL OR s.last_sync_status = %(status)s)
   AND (%(after)s::uuid IS NULL OR e.uid > %(after)s)
 ORDER BY e.uid
 LIMIT %(limit)s
