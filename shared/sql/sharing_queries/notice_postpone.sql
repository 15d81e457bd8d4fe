UPDATE deltashare_state.notices SET due_at = %(until)s, attempts = attempts + %(counts)s WHERE notice_uid = %(uid)s
