SELECT position, action, status, result FROM deltashare_state.journal
 WHERE application_uid = %(application)s ORDER BY position
