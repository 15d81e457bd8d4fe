UPDATE deltashare_state.rotations SET lease_until = NULL, error = 'cut off before anything was called', finished_at = clock_timestamp()
 WHERE rotation_uid = %(rotation)s
