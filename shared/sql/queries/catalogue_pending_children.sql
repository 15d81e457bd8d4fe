-- Waiting rows the caller may see, newest first after the cursor. What they wait for is read only for those shown,
-- unless it decides which are shown. parent_waits: an orphan whose parent was read, too, and waits itself.
WITH page AS MATERIALIZED (
SELECT w.uid, w.run_uid, w.entity_uid, w.key, w.waiting_for, w.status, w.attempts, w.next_attempt_at, w.created_at,
       e.connector_uid
  FROM {schema}.pending_children w
  JOIN {schema}.entities e ON e.uid = w.entity_uid AND NOT e.is_deleted
  JOIN {schema}.connectors c ON c.uid = e.connector_uid
 WHERE (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
   AND (%(entity_uid)s::uuid IS NULL OR w.entity_uid = %(entity_uid)s)
   AND (%(connector_uid)s::uuid IS NULL OR e.connector_uid = %(connector_uid)s)
   AND (%(status)s::text IS NULL OR w.status = %(status)s)
   AND (%(parent_key)s::text IS NULL OR w.waiting_for @> jsonb_build_array(jsonb_build_object('key', %(parent_key)s::text)))
   AND (%(after_at)s::timestamptz IS NULL OR (w.created_at, w.uid) < (%(after_at)s, %(after_uid)s::uuid))
 ORDER BY w.created_at DESC, w.uid DESC
 LIMIT %(limit)s
), behind AS (
SELECT DISTINCT p.uid
  FROM page p CROSS JOIN LATERAL jsonb_array_elements(p.waiting_for) AS awaited (parent)
  JOIN {schema}.entities e ON e.connector_uid = p.connector_uid AND e.slug = awaited.parent ->> 'entity' AND NOT e.is_deleted
  JOIN {schema}.held_rows h ON h._bridge_entity_uid = e.uid AND h._bridge_erp_ref_str = awaited.parent ->> 'key'
 WHERE p.status = 'orphan'
)
SELECT p.uid, p.run_uid, p.entity_uid, p.key, p.waiting_for, p.status, p.attempts, p.next_attempt_at, p.created_at,
       b.uid IS NOT NULL AS parent_waits
  FROM page p LEFT JOIN behind b ON b.uid = p.uid
 ORDER BY p.created_at DESC, p.uid DESC
