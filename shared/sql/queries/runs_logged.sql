UPDATE {schema}.sync_runs SET logged_at = clock_timestamp() WHERE uid = ANY (%(runs)s)
