-- What a table that is to be adopted demands of those who write to it.
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       a.attgenerated <> '' AS generated, a.atthasdef OR a.attidentity <> '' AS has_default
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %(target_schema)s AND c.relname = %(target_table)s AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
