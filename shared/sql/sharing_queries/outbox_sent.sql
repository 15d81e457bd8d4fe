-- An application may be locked already by whoever got its message; when it was sent is not worth waiting for.
WITH gone AS (
    DELETE FROM deltashare_state.outbox WHERE id = ANY (%(ids)s) RETURNING application_uid
), free AS (
    SELECT application_uid FROM deltashare_state.applications
     WHERE application_uid IN (SELECT application_uid FROM gone) ORDER BY 1 FOR UPDATE SKIP LOCKED
)
UPDATE deltashare_state.applications a SET sent_at = clock_timestamp(), sends = sends + 1
  FROM free WHERE a.application_uid = free.application_uid
