INSERT INTO {schema}.poison_messages (queue, message_id, body, run_uid, slice, outcome)
VALUES (%(queue)s, %(message)s, %(body)s, %(run)s, %(slice)s, %(outcome)s)
ON CONFLICT (queue, message_id) DO NOTHING
