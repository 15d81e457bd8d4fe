UPDATE deltashare_state.applications
   SET status = %(status)s, lease_until = NULL, failures = CASE WHEN %(failed)s THEN failures + 1 ELSE 0 END, error = %(error)s,
       next_attempt_at = clock_timestamp() + make_interval(secs => %(delay_s)s),
       finished_at = CASE WHEN %(status)s IN ('done', 'failed', 'cancelled') THEN clock_timestamp() END
 WHERE application_uid = %(application)s
