UPDATE deltashare_state.notices SET concluded_at = clock_timestamp() WHERE notice_uid = %(uid)s
