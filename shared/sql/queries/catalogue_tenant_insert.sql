-- Creating a tenant twice is no error.
INSERT INTO {schema}.tenants (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING
