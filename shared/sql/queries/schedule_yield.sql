UPDATE {schema}.background_sync_schedule SET yielded_night = %(night)s, yielded_at = clock_timestamp()
WHERE uid = %(uid)s AND yielded_night IS DISTINCT FROM %(night)s::date
