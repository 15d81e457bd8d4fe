-- Rows stay locked until the send is known to have worked; another sender skips them.
SELECT o.id, o.run_uid, o.slice, o.delay_seconds, o.traceparent FROM {schema}.outbox o
ORDER BY o.id LIMIT %(limit)s FOR UPDATE OF o SKIP LOCKED
