-- Raw rows are kept for so many days; what happened to the row stays on record.
WITH old AS (
    SELECT uid FROM {schema}.failed_records
    WHERE raw IS NOT NULL AND updated_at < now() - make_interval(days => %(days)s)
    ORDER BY updated_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE {schema}.failed_records f SET raw = NULL, normalized = NULL, next_attempt_at = NULL FROM old WHERE f.uid = old.uid
