DELETE FROM deltashare_state.journal WHERE application_uid = %(application)s AND status <> 'done'
