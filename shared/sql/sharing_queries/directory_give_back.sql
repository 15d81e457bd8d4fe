-- Let go until later; nothing where another delivery took the job.
UPDATE deltashare_state.directory_jobs
   SET lease_until = NULL,
       next_attempt_at = clock_timestamp() + make_interval(secs => %(delay_s)s),
       failures = failures + (%(error)s::text IS NOT NULL)::integer,
       error = %(error)s
 WHERE job_uid = %(job_uid)s AND epoch = %(epoch)s AND finished_at IS NULL
