-- Due again later; an attempt that never began does not count.
UPDATE deltashare_state.notices
   SET next_attempt_at = %(until)s, lease_until = NULL, attempts = attempts - (NOT %(counts)s)::integer
 WHERE notice_uid = %(uid)s
