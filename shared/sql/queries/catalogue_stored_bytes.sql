-- What the target's rows take up. An empty table's own file has no length, its index files have some.
SELECT CASE WHEN pg_relation_size(t.place) = 0 THEN 0 ELSE pg_table_size(t.place) END AS bytes
  FROM {schema}.entities e,
       LATERAL (SELECT to_regclass(format('%%I.%%I', e.target_schema, e.target_table)) AS place) t
 WHERE e.connector_uid = %(connector_uid)s AND e.slug = %(slug)s AND NOT e.is_deleted
