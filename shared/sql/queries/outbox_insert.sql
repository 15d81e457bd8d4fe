INSERT INTO {schema}.outbox (run_uid, slice, delay_seconds) VALUES (%(run)s, %(slice)s, %(delay_s)s)
