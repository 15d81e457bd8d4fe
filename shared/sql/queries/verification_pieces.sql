SELECT body FROM {schema}.verification_pieces WHERE uid = %(run)s AND step = %(step)s AND side = %(side)s ORDER BY number
