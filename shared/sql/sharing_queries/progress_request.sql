-- What the last job of its kind that ended left goes to the next.
INSERT INTO deltashare_state.directory_jobs (job_uid, kind, scope, requested_by, requested_at, allowed_removals, resume)
SELECT %(uid)s, %(kind)s, %(scope)s, %(requested_by)s, %(at)s, %(allowed_removals)s,
       coalesce((SELECT j.resume FROM deltashare_state.directory_jobs j
                  WHERE j.kind = %(kind)s AND j.scope = %(scope)s AND j.finished_at IS NOT NULL
                  ORDER BY j.finished_at DESC LIMIT 1), '')
ON CONFLICT (kind, scope) WHERE finished_at IS NULL DO NOTHING
