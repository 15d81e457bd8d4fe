SELECT job_uid FROM deltashare_state.directory_jobs
 WHERE finished_at IS NULL AND next_attempt_at <= clock_timestamp()
   AND (lease_until IS NULL OR lease_until <= clock_timestamp())
 ORDER BY requested_at
