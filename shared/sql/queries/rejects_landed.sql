-- They landed, wait for a parent, or the target has something newer.
UPDATE {schema}.failed_records SET status = 'resolved', attempts = attempts + 1, next_attempt_at = NULL,
    closed_by = 'replay', updated_at = now()
WHERE uid = ANY (%(uids)s::uuid[])
