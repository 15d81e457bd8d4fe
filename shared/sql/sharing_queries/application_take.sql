UPDATE deltashare_state.applications
   SET status = 'running', epoch = epoch + 1, attempts = attempts + 1, message_id = %(message_id)s,
       dequeue_count = %(dequeue_count)s, started_at = coalesce(started_at, clock_timestamp()),
       lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
 WHERE application_uid = %(application)s
RETURNING application_uid, share_pack_id, pack_version, epoch, attempts, failures
