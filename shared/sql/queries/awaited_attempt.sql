-- One attempt: exponential backoff with full jitter, so that what began together does not come back together.
UPDATE {schema}.awaited_parents a SET
    arrived_at = CASE WHEN u.live THEN clock_timestamp() END,
    attempts = a.attempts + 1,
    is_orphan = NOT u.live AND a.attempts + 1 >= %(attempts)s,
    next_attempt_at = clock_timestamp()
        + make_interval(secs => least(%(cap_s)s, %(base_s)s * (2 ^ (a.attempts + 1))::bigint) * random())
FROM looked u WHERE a.entity_uid = %(entity)s AND a.parent_uid = %(parent)s AND a.key_hash = u.key_hash
