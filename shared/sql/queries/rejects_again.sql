-- refused_at stays: it says when the row was refused as the source sent it, which a replay doesn't change.
UPDATE {schema}.failed_records f SET attempts = f.attempts + 1, next_attempt_at = NULL,
    updated_at = now(), stage = u.stage, "column" = u."column", code = u.code, message = u.message
FROM refused_again u WHERE f.uid = u.uid
