-- One target column.
INSERT INTO {schema}.field_mappings (entity_uid, position, source, target, type, rules, expression, set_by)
VALUES (%(entity_uid)s, %(position)s, %(source)s, %(target)s, %(type)s, %(rules)s, %(expression)s, %(set_by)s)
