-- The readable columns of these tables, domains resolved to what they are made of.
SELECT a.attrelid::bigint AS oid, a.attname::text AS name, NOT a.attnotnull AS nullable,
       format_type(b.oid, b.typmod) AS type, format_type(b.oid, -1) AS bare_type, b.typname::text AS base,
       b.typtype = 'e' AS is_enum, b.typcategory = 'A' OR b.typtype = 'c' AS is_nested,
       b.typnamespace = 'pg_catalog'::regnamespace AS is_builtin,
       coalesce(pg_get_expr(d.adbin, d.adrelid) ~ '^pg_current_xact_id\(\)$', false) AS is_xact_default,
       EXISTS (SELECT FROM pg_index i
                WHERE i.indrelid = a.attrelid AND i.indisvalid AND i.indkey[0] = a.attnum AND i.indpred IS NULL) AS is_indexed
  FROM pg_attribute a
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 CROSS JOIN LATERAL (
       WITH RECURSIVE base AS (
           SELECT t.*, a.atttypmod AS typmod FROM pg_type t WHERE t.oid = a.atttypid
           UNION ALL
           SELECT t.*, o.typtypmod FROM base o JOIN pg_type t ON t.oid = o.typbasetype WHERE o.typtype = 'd')
       SELECT * FROM base WHERE typtype <> 'd') b
 WHERE a.attrelid = ANY (%(oids)s::bigint[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
   AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
 ORDER BY a.attrelid, a.attnum
