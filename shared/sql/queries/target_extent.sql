-- The longest heap among a table and its partitions, and what it takes with its long values.
SELECT max(pg_relation_size(relid)) AS heap, max(pg_table_size(relid)) AS stored
FROM (SELECT %(table)s::regclass AS relid UNION SELECT relid FROM pg_partition_tree(%(table)s::regclass)) parts
