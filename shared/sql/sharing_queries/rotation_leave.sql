-- Given back, or ended; one whose call was never made is ended either way.
UPDATE deltashare_state.rotations
   SET lease_until = NULL, error = %(error)s,
       finished_at = CASE WHEN %(ends)s OR step IS NULL THEN clock_timestamp() END
 WHERE rotation_uid = %(rotation)s AND epoch = %(epoch)s AND finished_at IS NULL
