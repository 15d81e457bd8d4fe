-- The target table and its rows stay; slug and target name are free again.
UPDATE {schema}.entities SET is_deleted = true, sync_enabled = false, updated_at = now()
 WHERE uid = %(uid)s AND NOT is_deleted
RETURNING uid
