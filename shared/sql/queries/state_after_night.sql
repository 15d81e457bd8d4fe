-- A night that leaves the table half read makes it no fresher: only its status shows.
UPDATE {schema}.erp_sync_state t SET last_run_uid = %(run)s, last_sync_status = %(status)s
FROM {schema}.sync_runs r WHERE r.uid = %(run)s AND t.entity_uid = r.entity_uid
