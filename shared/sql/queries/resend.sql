-- Whatever is admitted, unfinished and nobody's gets its message again: after 15 minutes, then doubling.
INSERT INTO {schema}.outbox (run_uid, slice, traceparent)
SELECT s.run_uid, s.slice, %(traceparent)s FROM {schema}.sync_slices s
WHERE s.status IN ('queued', 'running') AND s.admitted AND s.next_attempt_at <= clock_timestamp()
  AND (s.lease_until IS NULL OR s.lease_until <= clock_timestamp())
  AND coalesce(s.sent_at, '-infinity') <= clock_timestamp()
      - make_interval(mins => 15 * (2 ^ least(greatest(s.sends - 1, 0), 6))::int) * (s.sent_at IS NOT NULL)::int
  AND NOT EXISTS (SELECT 1 FROM {schema}.outbox o WHERE o.run_uid = s.run_uid AND o.slice = s.slice)
RETURNING run_uid
