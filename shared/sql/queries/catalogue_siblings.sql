-- Only those that parents are about: a connector may have thousands of tables.
SELECT e.* FROM {schema}.entities e
WHERE e.connector_uid = %(connector)s AND NOT e.is_deleted AND (e.parents <> '[]' OR e.slug IN (
    SELECT p ->> 'slug' FROM {schema}.entities c, jsonb_array_elements(c.parents) AS p
    WHERE c.connector_uid = %(connector)s AND NOT c.is_deleted))
