-- Held by moving their time, so that one whose holder died comes back by itself.
UPDATE deltashare_state.notices n SET due_at = %(now)s + make_interval(secs => %(hold_s)s)
 WHERE notice_uid IN (SELECT notice_uid FROM deltashare_state.notices
                       WHERE concluded_at IS NULL AND due_at <= %(now)s
                       ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING notice_uid, channel, notice, attempts
