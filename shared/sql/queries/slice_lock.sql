SELECT epoch FROM {schema}.sync_slices WHERE run_uid = %(run)s AND slice = %(slice)s FOR UPDATE
