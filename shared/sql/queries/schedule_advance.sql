-- In the chunk's own transaction: the load's cursor is never ahead of its rows, nor behind them.
UPDATE {schema}.background_sync_schedule SET
    cursor = %(cursor)s, rows_read = %(rows)s, rows_expected = coalesce(%(expected)s, rows_expected)
WHERE uid = %(uid)s AND run_uid = %(run)s
