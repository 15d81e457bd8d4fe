-- Held for a while by whoever takes them; one whose holder died comes back when its lease ends.
UPDATE deltashare_state.notices n
   SET attempts = attempts + 1, lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
  FROM (SELECT notice_uid
          FROM deltashare_state.notices
         WHERE concluded_at IS NULL
           AND next_attempt_at <= %(now)s
           AND (lease_until IS NULL OR lease_until <= clock_timestamp())
         ORDER BY next_attempt_at
         LIMIT %(limit)s
           FOR UPDATE SKIP LOCKED) AS due
 WHERE n.notice_uid = due.notice_uid
RETURNING n.notice_uid, n.dedupe_key, n.channel, n.kind, n.subject, n.body, n.recipients, n.share_pack_id, n.attempts
