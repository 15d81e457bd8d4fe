-- Mark open rejects that the caller may act on; those whose payload is gone can only be fetched again.
UPDATE {schema}.failed_records f SET next_attempt_at = clock_timestamp(), requested_by = %(actor)s
FROM {schema}.entities e JOIN {schema}.connectors c ON c.uid = e.connector_uid
WHERE e.uid = f.entity_uid AND NOT e.is_deleted AND f.status = 'open' AND f.raw IS NOT NULL
  AND (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
  AND (%(uids)s::uuid[] IS NULL OR f.uid = ANY (%(uids)s))
  AND (%(entity_uid)s::uuid IS NULL OR f.entity_uid = %(entity_uid)s)
  AND (%(connector_uid)s::uuid IS NULL OR e.connector_uid = %(connector_uid)s)
  AND (%(code)s::text IS NULL OR f.code = %(code)s)
  AND (%(min_age_s)s::bigint IS NULL OR f.created_at <= now() - make_interval(secs => %(min_age_s)s))
  AND (%(max_age_s)s::bigint IS NULL OR f.created_at >= now() - make_interval(secs => %(max_age_s)s))
RETURNING f.entity_uid, e.connector_uid
