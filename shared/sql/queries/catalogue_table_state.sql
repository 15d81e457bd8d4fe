-- What stands at a target's name: its kind, the entity that made it, and its live columns with their slots used so far.
SELECT c.relkind::text AS kind,
       obj_description(c.oid, 'pg_class') AS comment,
       (SELECT max(a.attnum)::int FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid) AS slots,
       (SELECT coalesce(jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)), '{{}}')
          FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       -- While a first load has the indexes down, NOT NULL still tells the key.
       coalesce((SELECT array_agg(a.attname::text ORDER BY k.ordinality)
          FROM pg_catalog.pg_constraint u
         CROSS JOIN LATERAL unnest(u.conkey) WITH ORDINALITY AS k (attnum, ordinality)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
         WHERE u.conrelid = c.oid AND u.contype = 'u' AND u.conname = %(key_name)s),
        (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attnotnull AND NOT a.attisdropped
           AND left(a.attname, 8) <> '_bridge_')) AS key_columns
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %(target_schema)s AND c.relname = %(target_table)s
