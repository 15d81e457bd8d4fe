-- A person says that this row is not wanted.
UPDATE {schema}.failed_records SET status = 'discarded', closed_by = %(actor)s, reason = %(reason)s,
    next_attempt_at = NULL, updated_at = now()
WHERE uid = %(uid)s AND status = 'open'
