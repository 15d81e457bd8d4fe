-- A job begins where the last good one of its kind left off. A message may come a little before its time.
UPDATE deltashare_state.directory_jobs j
   SET epoch = epoch + 1,
       lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
       started_at = COALESCE(started_at, clock_timestamp()),
       resume = CASE WHEN started_at IS NOT NULL THEN resume ELSE COALESCE(
           (SELECT l.resume FROM deltashare_state.directory_links l WHERE l.kind = j.kind AND l.scope = j.scope), '') END
 WHERE job_uid = %(job_uid)s
   AND finished_at IS NULL
   AND (lease_until IS NULL OR lease_until <= clock_timestamp())
   AND next_attempt_at <= clock_timestamp() + interval '5 seconds'
RETURNING job_uid, kind, scope, epoch, started_at, requested_by, position, resume, is_full, proven, allowed_removals,
          failures, counts
