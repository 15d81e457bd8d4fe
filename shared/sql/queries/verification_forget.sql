DELETE FROM {schema}.verification_pieces WHERE uid = %(run)s AND step = %(step)s AND side IN ('source', 'aside')
