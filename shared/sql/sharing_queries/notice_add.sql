-- One row a key and channel, whoever says it and however often.
INSERT INTO deltashare_state.notices
    (notice_uid, dedupe_key, channel, kind, subject, body, recipients, share_pack_id, next_attempt_at)
SELECT uid, %(dedupe_key)s, channel, %(kind)s, %(subject)s, %(body)s, %(recipients)s, %(share_pack_id)s, %(at)s
  FROM unnest(%(uids)s::uuid[], %(channels)s::text[]) AS wanted (uid, channel)
ON CONFLICT (dedupe_key, channel) DO NOTHING
