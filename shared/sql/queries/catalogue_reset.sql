-- Keys or rules changed: a new generation fences everything begun before; the next pass reads all and may not delete.
UPDATE {schema}.erp_sync_state
   SET generation = generation + 1, watermark = NULL, probe = NULL, due_at = clock_timestamp(),
       deletes_barred = true, last_sweep_at = NULL,
       versions_since = CASE WHEN %(versions_changed)s THEN clock_timestamp() ELSE versions_since END
 WHERE entity_uid = %(entity)s
