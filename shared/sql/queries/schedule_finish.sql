-- A finished load rests until somebody switches it on again; one that proved nothing begins anew.
UPDATE {schema}.background_sync_schedule SET
    finished_at = CASE WHEN %(finished)s THEN clock_timestamp() END, is_active = NOT %(finished)s AND is_active,
    cursor = NULL, trouble = %(trouble)s, updated_at = now(),
    first_night = CASE WHEN %(finished)s THEN first_night END, nights = CASE WHEN %(finished)s THEN nights ELSE 0 END,
    rows_read = CASE WHEN %(finished)s THEN rows_read ELSE 0 END, rows_before = 0
WHERE run_uid = %(run)s
