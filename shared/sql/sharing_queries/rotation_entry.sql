-- Whoever takes it up was asked to try again.
SELECT 0 AS position, 'rotate_token ' || recipient AS action, step AS status, result, step IN ('failed', 'skipped') AS again
  FROM deltashare_state.rotations WHERE rotation_uid = %(rotation)s AND step IS NOT NULL
