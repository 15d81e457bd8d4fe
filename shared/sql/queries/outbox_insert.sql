INSERT INTO {schema}.outbox (run_uid, slice, delay_seconds, traceparent)
VALUES (%(run)s, %(slice)s, %(delay_s)s, %(traceparent)s)
