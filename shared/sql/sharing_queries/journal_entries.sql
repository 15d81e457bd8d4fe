-- `again`: concluded before somebody asked for another try.
SELECT j.position, j.action, j.status, j.result, coalesce(j.concluded_at < a.started_at, false) AS again
  FROM deltashare_state.journal j JOIN deltashare_state.applications a USING (application_uid)
 WHERE j.application_uid = %(application)s ORDER BY j.position
