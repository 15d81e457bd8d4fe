-- The newest entity of a slug, deleted ones too: discovery must not bring back what a person deleted.
SELECT * FROM {schema}.entities
 WHERE connector_uid = %(connector_uid)s AND slug = %(slug)s
 ORDER BY is_deleted, created_at DESC
 LIMIT 1
