SELECT source_sums, target_sums FROM {schema}.verifications WHERE uid = %(run)s
