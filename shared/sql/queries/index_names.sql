-- All indexes of a table, its own key constraints, and whether a foreign key refers to it.
SELECT (SELECT count(*) FROM pg_index WHERE indrelid = %(table)s::regclass) AS indexes,
       ARRAY(SELECT conname::text FROM pg_constraint WHERE conrelid = %(table)s::regclass AND contype IN ('p', 'u')) AS keys,
       EXISTS (SELECT 1 FROM pg_constraint WHERE confrelid = %(table)s::regclass) AS referred_to
