SELECT due_deletes, unkeyed_rejects FROM {schema}.passes WHERE uid = %(pass)s FOR UPDATE
