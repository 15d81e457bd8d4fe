-- The columns of an entity's table of waiting rows, ours left out, and its indexes; null where there is none.
SELECT jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)) AS columns,
       ARRAY(SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = to_regclass(%(table)s)) AS indexes
FROM pg_attribute a WHERE a.attrelid = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped
  AND left(a.attname, 8) <> '_bridge_'
