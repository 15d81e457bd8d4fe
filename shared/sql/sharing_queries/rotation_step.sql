-- Holds and renews the claim; no row where somebody else has it.
UPDATE deltashare_state.rotations
   SET step = %(step)s, result = %(result)s, lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
 WHERE rotation_uid = %(rotation)s AND epoch = %(epoch)s AND finished_at IS NULL
