-- Fixed once: the guard judges the total before the first delete, and a redelivery must not count absence twice.
UPDATE {schema}.passes SET due_deletes = (
    SELECT count(*) FROM {schema}.missing_keys WHERE entity_uid = %(entity)s AND passes >= %(after)s)
WHERE uid = %(pass)s
