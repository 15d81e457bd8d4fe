-- Keys or rules changed: a new generation fences everything begun before; the next pass reads all and may not delete.
UPDATE {schema}.erp_sync_state
   SET generation = generation + 1, watermark = NULL, probe = NULL, due_at = now(), deletes_barred = true,
       last_sweep_at = NULL, loaded_generation = NULL,
       versions_from = CASE WHEN %(versions_changed)s THEN generation + 1 ELSE versions_from END
 WHERE entity_uid = %(uid)s
