-- Tables of a source that have a primary key of columns we may read. Partitions are read through their parent. A row
-- trigger before every UPDATE may keep a version column, if its function names transaction ids at all; which column it
-- keeps, the catalogs cannot say.
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind = 'p' AS partitioned,
       obj_description(c.oid, 'pg_class') AS comment, k.columns AS key,
       CASE WHEN c.reltuples > 0 THEN c.reltuples::bigint END AS about,
       coalesce(t.on_insert, false) AS on_insert, coalesce(t.on_update, false) AS on_update
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_constraint p ON p.conrelid = c.oid AND p.contype = 'p'
 CROSS JOIN LATERAL (
       SELECT array_agg(a.attname::text ORDER BY part.place) AS columns,
              bool_and(has_column_privilege(c.oid, a.attnum, 'SELECT')) AS readable
         FROM unnest(p.conkey) WITH ORDINALITY AS part(attnum, place)
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = part.attnum) k
  LEFT JOIN LATERAL (
       SELECT bool_or(g.tgtype & 4 > 0) AS on_insert, bool_or(g.tgtype & 16 > 0) AS on_update
         FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid
        WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgtype & 3 = 3
          AND g.tgqual IS NULL AND g.tgattr::text = '' AND f.prosrc ~ '(pg_current_xact_id|txid_current)\s*\(') t ON true
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tributary')
   AND has_schema_privilege(n.oid, 'USAGE') AND k.readable
   AND (%(schema)s::text IS NULL OR (n.nspname = %(schema)s AND c.relname = %(name)s))
 ORDER BY n.nspname, c.relname
