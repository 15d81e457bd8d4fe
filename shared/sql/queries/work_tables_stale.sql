SELECT c.relname AS table_name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relkind = 'r' AND c.relname ~ '^(stage|seen)_[0-9a-f]{{32}}$'
  AND NOT EXISTS (SELECT 1 FROM {schema}.sync_runs r
                  WHERE replace(r.uid::text, '-', '') = right(c.relname, 32) AND r.status IN ('queued', 'running'))
