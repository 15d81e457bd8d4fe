-- A step that is done stays done.
INSERT INTO deltashare_state.journal AS j (application_uid, position, action, status, epoch)
VALUES (%(application)s, %(position)s, %(action)s, 'intended', %(epoch)s)
ON CONFLICT (application_uid, position) DO UPDATE
   SET action = excluded.action, status = 'intended', result = '{}', epoch = excluded.epoch,
       intended_at = clock_timestamp(), concluded_at = NULL
 WHERE j.status IN ('intended', 'failed', 'skipped')
