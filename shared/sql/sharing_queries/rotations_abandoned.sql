-- Unfinished, held by nobody, and old enough that no call of theirs is still on its way.
SELECT rotation_uid FROM deltashare_state.rotations
 WHERE finished_at IS NULL AND (lease_until IS NULL OR lease_until <= clock_timestamp())
   AND created_at <= clock_timestamp() - make_interval(secs => %(after_s)s)
 ORDER BY created_at LIMIT 20
