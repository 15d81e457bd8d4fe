-- A locked row is somebody's who is just claiming or ending it.
SELECT application_uid, share_pack_id, pack_version, status, next_attempt_at, lease_until, message_id, dequeue_count,
       epoch, attempts, failures, clock_timestamp() AS now
  FROM deltashare_state.applications WHERE application_uid = %(application)s FOR UPDATE
