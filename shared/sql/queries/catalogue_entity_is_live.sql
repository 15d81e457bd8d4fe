-- Whether the entity whose uid a table's comment names still stands.
SELECT 1 AS live FROM {schema}.entities WHERE uid::text = %(uid)s AND NOT is_deleted
