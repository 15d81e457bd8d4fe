-- Its epoch rises, so that whoever still holds it is fenced. Steps that failed before its new start are taken up again.
UPDATE deltashare_state.applications
   SET status = 'queued', epoch = epoch + 1, failures = 0, lease_until = NULL, finished_at = NULL, error = NULL,
       message_id = NULL, dequeue_count = 0, started_at = NULL,
       next_attempt_at = greatest(clock_timestamp(), coalesce(%(start_at)s::timestamptz, '-infinity'))
 WHERE application_uid = %(application)s
