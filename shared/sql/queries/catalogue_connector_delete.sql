-- Kept as a row, because runs and deleted entities still name it; refused while an entity stands on it.
UPDATE {schema}.connectors c
   SET is_deleted = true, is_active = false, updated_at = now()
 WHERE c.uid = %(uid)s AND NOT c.is_deleted
   AND NOT EXISTS (SELECT FROM {schema}.entities e WHERE e.connector_uid = c.uid AND NOT e.is_deleted)
RETURNING c.uid
