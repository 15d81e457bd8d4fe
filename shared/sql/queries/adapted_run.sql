-- Whether a run was a look of the timer's, and what it wrote. Rejects and held rows come again without any change.
SELECT r.trigger = 'timer' AND r.purpose = 'delta' AND NOT coalesce(r.target_was_empty, true)
           AND r.status IN ('success', 'partial') AS is_look,
       (SELECT coalesce(sum(inserted + updated + soft_deleted), 0) > 0 FROM {schema}.sync_slices s
        WHERE s.run_uid = r.uid) AS wrote
FROM {schema}.sync_runs r WHERE r.uid = %(run)s
