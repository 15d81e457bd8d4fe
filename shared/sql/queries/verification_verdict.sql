SELECT outcome, findings, why FROM {schema}.verifications WHERE uid = %(run)s AND outcome IS NOT NULL
