-- What belongs to a tenant: target schemas, names of secrets, regions. And under which key a table's masks were made.
-- Runs inside one transaction with search_path = {schema}; a filled database keeps what it has.

CREATE TABLE IF NOT EXISTS tenant_schemas (
    schema_name text PRIMARY KEY,        -- so that no schema serves two tenants
    tenant text NOT NULL REFERENCES tenants (name),
    position integer NOT NULL DEFAULT 0, -- the first is the tenant's default
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS tenant_schemas_by_tenant ON tenant_schemas (tenant, position);
INSERT INTO tenant_schemas (schema_name, tenant) VALUES ('public', 'default') ON CONFLICT DO NOTHING;
-- A schema that only one tenant has used so far is that tenant's. Where two met, the one that came first has it;
-- entities that stand there already go on.
INSERT INTO tenant_schemas (schema_name, tenant)
SELECT DISTINCT ON (e.target_schema) e.target_schema, c.tenant
FROM entities e JOIN connectors c ON c.uid = e.connector_uid
WHERE NOT e.is_deleted ORDER BY e.target_schema, e.created_at
ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS tenant_secrets (
    name text PRIMARY KEY CHECK (name = lower(name)), -- vaults don't tell names apart by case
    tenant text NOT NULL REFERENCES tenants (name),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tenant_secrets (name, tenant)
SELECT DISTINCT ON (lower(secret_name)) lower(secret_name), tenant
FROM connectors WHERE secret_name IS NOT NULL AND NOT is_deleted ORDER BY lower(secret_name), created_at
ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS tenant_regions (
    tenant text NOT NULL REFERENCES tenants (name),
    region text NOT NULL,
    workspace_url text NOT NULL,
    PRIMARY KEY (tenant, region)
);

-- One mask key a generation: a new generation reads the whole table again, so it may bring another key.
CREATE TABLE IF NOT EXISTS mask_keys (
    entity_uid uuid NOT NULL REFERENCES entities (uid),
    generation bigint NOT NULL,
    key_name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity_uid, generation)
);
