UPDATE {schema}.erp_sync_state t SET describe = false FROM {schema}.entities e
WHERE e.uid = t.entity_uid AND e.connector_uid = %(connector)s AND e.slug = ANY (%(slugs)s) AND t.describe
