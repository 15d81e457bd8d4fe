-- The end; nothing where another delivery took the job.
UPDATE deltashare_state.directory_jobs
   SET lease_until = NULL, finished_at = clock_timestamp(), status = %(status)s, error = %(error)s, counts = %(counts)s
 WHERE job_uid = %(job_uid)s AND epoch = %(epoch)s AND finished_at IS NULL
