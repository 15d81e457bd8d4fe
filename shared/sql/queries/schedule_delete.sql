DELETE FROM {schema}.background_sync_schedule WHERE uid = %(uid)s RETURNING run_uid
