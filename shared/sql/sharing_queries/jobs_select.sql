-- Each job by its newest line, newest first.
SELECT * FROM (
    SELECT DISTINCT ON (job_uid) sync_job_id, job_uid, kind, scope, status, at, requested_by, started_at, counts, error_message
      FROM deltashare.sync_jobs WHERE job_uid IS NOT NULL AND (%(kind)s::text IS NULL OR kind = %(kind)s)
     ORDER BY job_uid, at DESC, CASE status WHEN 'queued' THEN 0 WHEN 'running' THEN 1 ELSE 2 END DESC
) AS newest
 WHERE (%(after_at)s::timestamptz IS NULL OR (at, job_uid) < (%(after_at)s, %(after_id)s))
 ORDER BY at DESC, job_uid DESC LIMIT %(limit)s
