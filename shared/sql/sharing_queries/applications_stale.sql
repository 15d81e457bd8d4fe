-- Unfinished, due, held by nobody, and no message of late: each next one waits twice as long.
SELECT a.application_uid FROM deltashare_state.applications a
 WHERE a.status IN ('queued', 'running') AND a.next_attempt_at <= clock_timestamp()
   AND (a.lease_until IS NULL OR a.lease_until <= clock_timestamp())
   AND coalesce(a.sent_at, a.created_at) + make_interval(secs => %(after_s)s * 2 ^ least(greatest(a.sends - 1, 0), 6)) <= clock_timestamp()
   AND NOT EXISTS (SELECT FROM deltashare_state.outbox o WHERE o.application_uid = a.application_uid)
 ORDER BY a.created_at LIMIT 100 FOR UPDATE OF a SKIP LOCKED
