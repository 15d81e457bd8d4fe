-- Which of our three indexes an adopted table has by now, and how many triggers fire for each row that is hashed.
SELECT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AS has_primary_key,
       EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a
                 ON a.attrelid = c.oid AND i.indkey::text = a.attnum::text AND a.attname = '_bridge_uid'
                WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL) AS has_uid_index,
       EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a
                 ON a.attrelid = c.oid AND i.indkey::text = a.attnum::text AND a.attname = '_bridge_erp_key_hash'
                WHERE i.indrelid = c.oid AND i.indpred IS NULL) AS has_hash_index,
       (SELECT count(*) FROM pg_catalog.pg_trigger g
         WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND (g.tgtype & 16) <> 0)::int AS update_triggers
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %(target_schema)s AND c.relname = %(target_table)s
