UPDATE deltashare_state.directory_jobs
   SET lease_until = NULL, epoch = epoch + 1, error = %(error)s,
       next_attempt_at = clock_timestamp() + make_interval(secs => %(delay_s)s)
 WHERE job_uid = %(uid)s AND epoch = %(epoch)s AND finished_at IS NULL
