-- Delivered twice because nobody knew of the first time: one line is enough.
INSERT INTO deltashare.notifications (notification_id, dedupe_key, channel, kind, subject, body, recipients, status, attempts,
                                      at, share_pack_id, error_message)
VALUES (%(uid)s, %(dedupe_key)s, %(channel)s, %(kind)s, %(subject)s, %(text)s, %(recipients)s, %(status)s, %(attempts)s,
        %(at)s, %(pack_id)s, %(error)s)
ON CONFLICT DO NOTHING
