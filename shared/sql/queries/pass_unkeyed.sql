-- A reject without a key could be any row, so the pass may not delete.
UPDATE {schema}.passes SET unkeyed_rejects = unkeyed_rejects + %(rows)s WHERE uid = %(pass)s
