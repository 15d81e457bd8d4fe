-- Every unfinished run of the entity ends, in both lanes.
UPDATE {schema}.sync_runs
   SET status = 'cancelled', completed_at = now(),
       error = jsonb_build_object('code', 'superseded', 'message', %(reason)s::text,
                                  'hint', 'the next tick starts a new run under the new configuration')
 WHERE entity_uid = %(uid)s AND status IN ('queued', 'running')
RETURNING uid
