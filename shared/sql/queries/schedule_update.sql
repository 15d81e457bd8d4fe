-- Switching a finished load on again begins it anew; an unfinished one goes on where it stopped.
UPDATE {schema}.background_sync_schedule s SET
    window_start = %(window_start)s, window_end = %(window_end)s, time_zone = %(time_zone)s,
    days_to_complete = %(days_to_complete)s, is_active = %(is_active)s, updated_at = now(),
    finished_at = CASE WHEN %(is_active)s THEN NULL ELSE s.finished_at END,
    cursor = CASE WHEN %(is_active)s AND s.finished_at IS NOT NULL THEN NULL ELSE s.cursor END,
    first_night = CASE WHEN %(is_active)s AND s.finished_at IS NOT NULL THEN NULL ELSE s.first_night END,
    nights = CASE WHEN %(is_active)s AND s.finished_at IS NOT NULL THEN 0 ELSE s.nights END,
    rows_read = CASE WHEN %(is_active)s AND s.finished_at IS NOT NULL THEN 0 ELSE s.rows_read END,
    rows_before = CASE WHEN %(is_active)s AND s.finished_at IS NOT NULL THEN 0 ELSE s.rows_before END
WHERE s.uid = %(uid)s
RETURNING run_uid
