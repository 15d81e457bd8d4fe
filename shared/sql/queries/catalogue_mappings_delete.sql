-- Mappings are few and always replaced as a whole.
DELETE FROM {schema}.field_mappings WHERE entity_uid = %(uid)s
