UPDATE deltashare_state.notices SET due_at = %(until)s, attempts = attempts + 1 WHERE notice_uid = %(uid)s
