-- Give the slice back: to its continuation (still admitted) or to the waiting line. `attempt` is for people and only
-- grows; `failures` is what uses up the retries.
UPDATE {schema}.sync_slices SET
    epoch = epoch + 1, status = 'queued', lease_until = NULL, message_id = NULL, admitted = %(admitted)s, attempt = attempt + %(failed)s,
    failures = failures + %(failed)s,
    next_attempt_at = clock_timestamp() + make_interval(secs => %(delay_s)s), sent_at = NULL, sends = 0
WHERE run_uid = %(run)s AND slice = %(slice)s
