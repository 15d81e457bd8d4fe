INSERT INTO {schema}.audit_trail (actor, action, subject, details) VALUES (%(actor)s, %(action)s, %(subject)s, %(details)s)
