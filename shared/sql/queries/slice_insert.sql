INSERT INTO {schema}.sync_slices (run_uid, slice, connector_uid, kind, admitted)
VALUES (%(run)s, %(slice)s, %(connector)s, %(kind)s, %(admitted)s)
