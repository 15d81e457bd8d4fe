-- One unfinished job a kind and scope: a second request joins it, and its ceiling of removals counts.
INSERT INTO deltashare_state.directory_jobs AS j (job_uid, kind, scope, requested_by, requested_at, allowed_removals)
VALUES (%(job_uid)s, %(kind)s, %(scope)s, %(requested_by)s, %(at)s, %(allowed_removals)s)
ON CONFLICT (kind, scope) WHERE finished_at IS NULL
    DO UPDATE SET allowed_removals = COALESCE(EXCLUDED.allowed_removals, j.allowed_removals)
RETURNING job_uid, job_uid = %(job_uid)s AS fresh
