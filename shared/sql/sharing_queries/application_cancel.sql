UPDATE deltashare_state.applications
   SET status = 'cancelled', epoch = epoch + 1, lease_until = NULL, finished_at = clock_timestamp()
 WHERE share_pack_id = %(share_pack_id)s AND finished_at IS NULL
