SELECT rotation_uid, step, coalesce(lease_until > clock_timestamp(), false) AS is_held
  FROM deltashare_state.rotations
 WHERE workspace = %(workspace)s AND recipient = %(recipient)s AND finished_at IS NULL FOR UPDATE
