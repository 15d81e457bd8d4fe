SELECT job_uid FROM deltashare_state.directory_jobs
 WHERE kind = %(kind)s AND scope = %(scope)s AND finished_at IS NULL
