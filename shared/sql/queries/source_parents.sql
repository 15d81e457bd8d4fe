-- Foreign keys among these tables; one inherited by a partition stands on its parent already.
SELECT f.conrelid::bigint AS oid, f.confrelid::bigint AS parent,
       (SELECT array_agg(a.attname::text ORDER BY part.place)
          FROM unnest(f.conkey) WITH ORDINALITY AS part(attnum, place)
          JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = part.attnum) AS columns,
       (SELECT array_agg(a.attname::text ORDER BY part.place)
          FROM unnest(f.confkey) WITH ORDINALITY AS part(attnum, place)
          JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = part.attnum) AS parent_columns
  FROM pg_constraint f
 WHERE f.contype = 'f' AND f.conrelid = ANY (%(oids)s::bigint[]::oid[])
   AND f.confrelid = ANY (%(oids)s::bigint[]::oid[])
 ORDER BY f.conrelid, f.conname
