INSERT INTO {schema}.sync_runs
    (uid, entity_uid, connector_uid, lane, purpose, strategy, trigger, generation, config, watermark_start,
     allow_deletes, requested_by, reason, waits_for)
VALUES (%(uid)s, %(entity)s, %(connector)s, %(lane)s, %(purpose)s, %(strategy)s, %(trigger)s, %(generation)s,
        %(config)s, %(watermark)s, %(allow_deletes)s, %(requested_by)s, %(reason)s,
        %(waits_for)s)
