INSERT INTO deltashare_state.outbox (application_uid, due_at, traceparent)
VALUES (%(application)s, greatest(clock_timestamp(), coalesce(%(due_at)s::timestamptz, '-infinity'))
                         + make_interval(secs => %(delay_s)s), %(traceparent)s)
