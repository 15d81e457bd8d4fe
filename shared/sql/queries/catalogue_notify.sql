-- Due at once, for timers that run anyway.
UPDATE {schema}.erp_sync_state s SET due_at = now()
  FROM {schema}.entities e
 WHERE e.uid = s.entity_uid AND e.connector_uid = %(connector_uid)s AND e.slug = ANY (%(slugs)s) AND NOT e.is_deleted
RETURNING e.slug
