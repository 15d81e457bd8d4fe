UPDATE {schema}.background_sync_schedule SET trouble = %(trouble)s WHERE uid = %(uid)s
