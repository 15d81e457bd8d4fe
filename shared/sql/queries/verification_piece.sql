INSERT INTO {schema}.verification_pieces (uid, step, side, number, body)
SELECT %(run)s, %(step)s, %(side)s, count(*), %(body)s FROM {schema}.verification_pieces
WHERE uid = %(run)s AND step = %(step)s AND side = %(side)s
