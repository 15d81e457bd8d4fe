-- Looked after: parents that are there are forgotten, of a circle's members only the mark is.
WITH there AS (
    DELETE FROM {schema}.awaited_parents a USING due
    WHERE a.entity_uid = %(entity)s AND a.parent_uid = due.parent_uid AND a.key_hash = due.key_hash
      AND due.live AND %(live)s
)
UPDATE {schema}.awaited_parents a SET arrived_at = NULL FROM due
WHERE a.entity_uid = %(entity)s AND a.parent_uid = due.parent_uid AND a.key_hash = due.key_hash AND NOT due.live
