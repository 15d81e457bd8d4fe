-- How to take down and put back, just as they are, all indexes of a table without a single page; no row where one of
-- them is more than its definition says, or where the table has others below it.
SELECT array_agg(CASE WHEN c.oid IS NULL THEN format('DROP INDEX %%s', i.indexrelid::regclass)
                      ELSE format('ALTER TABLE %%s DROP CONSTRAINT %%I', i.indrelid::regclass, c.conname) END) AS down,
       array_agg(CASE WHEN c.oid IS NULL THEN pg_get_indexdef(i.indexrelid)
                      ELSE format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', i.indrelid::regclass, c.conname,
                                  pg_get_constraintdef(c.oid)) END) AS up
FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid
LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x')
WHERE i.indrelid = to_regclass(%(table)s) AND pg_relation_size(i.indrelid) = 0
HAVING bool_and(NOT i.indisreplident AND NOT i.indisclustered
                AND x.reloptions IS NULL AND x.reltablespace = 0
                AND obj_description(x.oid, 'pg_class') IS NULL AND obj_description(c.oid, 'pg_constraint') IS NULL)
   AND NOT (SELECT t.relhassubclass FROM pg_class t WHERE t.oid = to_regclass(%(table)s))
