-- Settled, or asked no more, since they were read: then the batch is read again.
WITH held AS (
    SELECT uid FROM {schema}.failed_records
    WHERE entity_uid = %(entity)s AND uid = ANY (%(uids)s::uuid[]) AND status = 'open' AND next_attempt_at IS NOT NULL
    FOR UPDATE
)
SELECT count(*) AS n FROM held
