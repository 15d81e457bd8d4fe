UPDATE {schema}.sync_slices SET cursor = %(cursor)s WHERE run_uid = %(run)s AND slice = %(slice)s
