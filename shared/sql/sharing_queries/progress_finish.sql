UPDATE deltashare_state.directory_jobs
   SET status = %(status)s, resume = coalesce(%(next)s, %(resume)s), error = %(error)s, counts = %(counts)s,
       lease_until = NULL, finished_at = clock_timestamp()
 WHERE job_uid = %(uid)s AND epoch = %(epoch)s AND finished_at IS NULL
