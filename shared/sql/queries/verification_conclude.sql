-- The sums have done their work; what was gathered goes with them, and what ended runs of the entity left behind.
WITH gone AS (
    DELETE FROM {schema}.verification_pieces p USING {schema}.sync_runs r
    WHERE r.uid = p.uid AND r.entity_uid = %(entity)s AND (r.uid = %(run)s OR r.status NOT IN ('queued', 'running'))
)
INSERT INTO {schema}.verifications AS v (uid, entity_uid, outcome, why, findings)
VALUES (%(run)s, %(entity)s, %(outcome)s, %(why)s, %(findings)s)
ON CONFLICT (uid) DO UPDATE SET outcome = excluded.outcome, why = excluded.why, findings = excluded.findings,
    source_sums = NULL, target_sums = NULL
