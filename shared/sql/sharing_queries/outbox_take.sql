-- Rows stay locked until the send is known to have worked; another sender skips them.
SELECT o.id, o.application_uid, o.traceparent,
       least(604800, greatest(0, ceil(extract(epoch FROM o.due_at - clock_timestamp()))))::integer AS delay_seconds
  FROM deltashare_state.outbox o ORDER BY o.id LIMIT %(limit)s FOR UPDATE OF o SKIP LOCKED
