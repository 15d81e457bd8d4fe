-- The field mappings of some entities, in position order.
SELECT * FROM {schema}.field_mappings WHERE entity_uid = ANY (%(uids)s) ORDER BY entity_uid, position
