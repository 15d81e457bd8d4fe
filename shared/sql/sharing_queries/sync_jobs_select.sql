-- The newest line of a job is its status.
SELECT * FROM (SELECT DISTINCT ON (j.job_uid) j.job_uid AS id, j.kind, j.workspace_url AS scope, j.status, j.counts,
                      j.error_message, j.requested_by, j.at
                 FROM deltashare.sync_jobs j
                WHERE %(kind)s::text IS NULL OR j.kind = %(kind)s
                ORDER BY j.job_uid, j.at DESC, j.sync_job_id DESC) j
 WHERE %(after_at)s::timestamptz IS NULL OR (j.at, j.id) < (%(after_at)s, %(after_id)s)
 ORDER BY j.at DESC, j.id DESC LIMIT %(limit)s
