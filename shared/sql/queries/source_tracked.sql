-- Change tables that we may read, by the table they belong to.
SELECT t.relation::oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name
  FROM tributary.tracked t
  JOIN pg_class c ON c.oid = t.changes
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE has_table_privilege(c.oid, 'SELECT')
