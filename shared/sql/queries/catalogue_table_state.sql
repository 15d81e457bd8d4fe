-- What stands at a target's name: its kind, the entity that made it, and its live columns with their slots used so far.
WITH keys AS (
    SELECT u.conrelid, u.conname = %(key_name)s AS is_ours,
           (SELECT array_agg(a.attname::text ORDER BY k.ordinality)
              FROM unnest(u.conkey) WITH ORDINALITY AS k (attnum, ordinality)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = u.conrelid AND a.attnum = k.attnum) AS columns
      FROM pg_catalog.pg_constraint u
     WHERE u.contype IN ('u', 'p') AND NOT u.condeferrable
)
SELECT c.relkind::text AS kind,
       obj_description(c.oid, 'pg_class') AS comment,
       (SELECT max(a.attnum)::int FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid) AS slots,
       (SELECT coalesce(jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)), '{{}}')
          FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       -- Any constraint over just the key's columns serves, as an adopted table may bring one; ours goes first.
       k.columns IS NOT NULL AS has_key,
       -- While a first load has the indexes down, NOT NULL still tells the key.
       coalesce(k.columns,
        (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attnotnull AND NOT a.attisdropped
           AND left(a.attname, 8) <> '_bridge_')) AS key_columns
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
       SELECT keys.columns FROM keys
        WHERE keys.conrelid = c.oid
          AND (keys.is_ours OR (keys.columns @> %(keys)s::text[] AND keys.columns <@ %(keys)s::text[]))
        ORDER BY keys.is_ours DESC LIMIT 1) k ON true
 WHERE n.nspname = %(target_schema)s AND c.relname = %(target_table)s
