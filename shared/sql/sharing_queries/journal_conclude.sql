UPDATE deltashare_state.journal
   SET status = %(status)s, result = %(result)s, epoch = %(epoch)s, concluded_at = clock_timestamp()
 WHERE application_uid = %(application)s AND position = %(position)s AND status IN ('intended', 'failed')
