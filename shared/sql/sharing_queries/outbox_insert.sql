INSERT INTO deltashare_state.outbox (channel, subject, due_at)
VALUES (%(channel)s, %(subject)s, greatest(clock_timestamp(), coalesce(%(due_at)s::timestamptz, '-infinity'))
                                  + make_interval(secs => %(delay_s)s))
