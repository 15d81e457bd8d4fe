-- No row where it is finished, or somebody works on it.
UPDATE deltashare_state.rotations
   SET epoch = epoch + 1, lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
 WHERE rotation_uid = %(rotation)s AND finished_at IS NULL
   AND (lease_until IS NULL OR lease_until <= clock_timestamp())
RETURNING rotation_uid, workspace, recipient, business_line, document, epoch
