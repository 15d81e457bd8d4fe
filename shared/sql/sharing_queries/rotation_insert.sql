INSERT INTO deltashare_state.rotations (rotation_uid, workspace, recipient, business_line, document, requested_by)
VALUES (%(rotation)s, %(workspace)s, %(recipient)s, %(business_line)s, %(document)s, %(by)s)
