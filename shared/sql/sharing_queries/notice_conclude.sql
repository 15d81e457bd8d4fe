-- Sent or given up.
UPDATE deltashare_state.notices SET concluded_at = clock_timestamp(), lease_until = NULL WHERE notice_uid = %(uid)s
