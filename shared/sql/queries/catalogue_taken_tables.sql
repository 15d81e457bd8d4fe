-- Names that another entity, or something not ours, holds in a schema.
SELECT target_table AS name FROM {schema}.entities
 WHERE target_schema = %(target_schema)s AND NOT is_deleted
