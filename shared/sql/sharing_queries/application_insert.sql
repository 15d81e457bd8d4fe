INSERT INTO deltashare_state.applications (application_uid, share_pack_id, pack_version, next_attempt_at, requested_by)
VALUES (%(application)s, %(share_pack_id)s, %(version)s, coalesce(%(start_at)s, clock_timestamp()), %(by)s)
