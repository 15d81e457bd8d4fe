SELECT DISTINCT ON (kind, scope) kind, scope, requested_at, finished_at IS NOT NULL AS finished
  FROM deltashare_state.directory_jobs ORDER BY kind, scope, requested_at DESC
