UPDATE deltashare_state.directory_jobs
   SET epoch = epoch + 1, failures = failures + 1, lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
       started_at = coalesce(started_at, clock_timestamp())
 WHERE job_uid = %(uid)s AND finished_at IS NULL AND next_attempt_at <= clock_timestamp()
   AND (lease_until IS NULL OR lease_until <= clock_timestamp())
RETURNING job_uid AS uid, kind, scope, epoch, started_at, requested_by, cursor, resume, is_full AS "full",
          is_proven AS proven, allowed_removals, failures, counts
