-- The target table and its rows stay; slug and target name are free again. A background load ends with its entity.
WITH unscheduled AS (DELETE FROM {schema}.background_sync_schedule WHERE entity_uid = %(uid)s)
UPDATE {schema}.entities SET is_deleted = true, sync_enabled = false, updated_at = now()
 WHERE uid = %(uid)s AND NOT is_deleted
RETURNING uid
