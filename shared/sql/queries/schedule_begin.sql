-- A night's run begins: it takes the load's cursor over as its slice's own.
WITH run AS (
    UPDATE {schema}.sync_runs SET night = %(tonight)s WHERE uid = %(run)s
), slice AS (
    UPDATE {schema}.sync_slices SET cursor = %(cursor)s WHERE run_uid = %(run)s AND slice = 0
)
UPDATE {schema}.background_sync_schedule SET
    run_uid = %(run)s, generation = %(generation)s, cursor = %(cursor)s, first_night = %(first_night)s,
    last_night = %(night)s, nights = %(nights)s, rows_read = %(rows)s, rows_before = %(rows)s,
    is_first_load = %(is_first_load)s, trouble = %(trouble)s
WHERE uid = %(uid)s
