-- Unfinished jobs that nobody holds and whose time has come.
SELECT job_uid
  FROM deltashare_state.directory_jobs
 WHERE finished_at IS NULL
   AND (lease_until IS NULL OR lease_until <= clock_timestamp())
   AND next_attempt_at <= clock_timestamp()
 ORDER BY requested_at
