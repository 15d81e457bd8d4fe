-- Table sync: catalogue, runs, slices, passes, rejects, outbox. Runs inside one transaction with search_path = {schema}.

CREATE TABLE tenants (
    name text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tenants (name) VALUES ('default');

CREATE TABLE connectors (
    uid uuid PRIMARY KEY,
    tenant text NOT NULL REFERENCES tenants (name),
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('http', 'postgres', 'sqlserver')),
    base_url text NOT NULL,
    auth_type text NOT NULL CHECK (auth_type IN ('token', 'client_credentials', 'none')),
    secret_name text,
    time_zone text,
    max_concurrent_syncs integer CHECK (max_concurrent_syncs > 0),
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, name)
);

CREATE TABLE entities (
    uid uuid PRIMARY KEY,
    connector_uid uuid NOT NULL REFERENCES connectors (uid),
    slug text NOT NULL,
    api_name text NOT NULL,
    description text,
    delta_strategy text NOT NULL CHECK (delta_strategy IN ('full', 'hash', 'rowversion')),
    business_keys text[] NOT NULL,
    target_schema text NOT NULL,
    target_table text NOT NULL,
    dialect text NOT NULL DEFAULT 'oracle',
    version jsonb,                       -- {"kind","column"}; null where the source has no row version
    pagination text CHECK (pagination IN ('keyset', 'page')),
    ordered_by_rowversion boolean NOT NULL DEFAULT false,
    page_size_max integer,
    columns jsonb NOT NULL DEFAULT '[]', -- as the source last described them
    parents jsonb NOT NULL DEFAULT '[]',
    parameters jsonb NOT NULL DEFAULT '{}',
    sync_enabled boolean NOT NULL DEFAULT true,
    sync_interval_seconds integer,
    overlap bigint NOT NULL DEFAULT 0,
    page_size integer,
    delete_guard_percent numeric NOT NULL DEFAULT 10,
    delete_after_missing integer NOT NULL DEFAULT 2,
    key_sweep_interval_seconds integer NOT NULL DEFAULT 86400,
    person_set text[] NOT NULL DEFAULT '{}', -- fields a person set; discovery leaves them alone
    warnings jsonb NOT NULL DEFAULT '[]',
    is_deleted boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX entities_slug ON entities (connector_uid, slug) WHERE NOT is_deleted;
CREATE UNIQUE INDEX entities_target ON entities (target_schema, target_table) WHERE NOT is_deleted;

CREATE TABLE field_mappings (
    entity_uid uuid NOT NULL REFERENCES entities (uid),
    position integer NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    type jsonb NOT NULL,                 -- ColumnType
    rules jsonb NOT NULL DEFAULT '{}',
    expression jsonb,
    set_by text NOT NULL CHECK (set_by IN ('discovery', 'person')),
    PRIMARY KEY (entity_uid, target)
);

-- One row an entity: what the runs left behind. Written by the transactions that end runs, never by chunks.
CREATE TABLE erp_sync_state (
    entity_uid uuid PRIMARY KEY REFERENCES entities (uid),
    generation bigint NOT NULL DEFAULT 1,
    versions_since timestamptz NOT NULL DEFAULT '1970-01-01 00:00:00+00', -- a version stored earlier is of an older generation
    watermark text,                      -- order-preserving form; COLLATE "C" where compared
    probe jsonb,                         -- {"lower","max_rowversion","count"} taken before the last proven run's first page
    due_at timestamptz NOT NULL DEFAULT now(),
    last_probed_at timestamptz,
    trouble jsonb,                       -- why the last tick could not start a run: {"code","message","hint"}
    last_run_uid uuid,
    last_sync_at timestamptz,
    last_sync_status text,
    last_sweep_at timestamptz,
    loaded_generation bigint,            -- generation of the last proven load of the whole table
    unproven_snapshots integer NOT NULL DEFAULT 0,
    indexes_deferred boolean NOT NULL DEFAULT false, -- a first load has taken the target's indexes down
    deletes_barred boolean NOT NULL DEFAULT false -- keys or rules changed: the next pass may not delete
);

CREATE TABLE sync_runs (
    uid uuid PRIMARY KEY,
    entity_uid uuid NOT NULL REFERENCES entities (uid),
    connector_uid uuid NOT NULL REFERENCES connectors (uid),
    lane text NOT NULL CHECK (lane IN ('delta', 'bulk')),
    purpose text NOT NULL CHECK (purpose IN ('delta', 'sweep', 'refresh')),
    strategy text NOT NULL CHECK (strategy IN ('full', 'hash', 'rowversion')),
    trigger text NOT NULL CHECK (trigger IN ('timer', 'manual', 'window', 'retry')),
    status text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'running', 'success', 'partial', 'failed', 'cancelled')),
    attempt integer NOT NULL DEFAULT 0,
    generation bigint NOT NULL,
    config jsonb NOT NULL,
    config_version integer NOT NULL DEFAULT 1,
    probe jsonb,
    bound text,
    watermark_start text,
    watermark_end text,
    target_was_empty boolean,
    allow_deletes bigint,
    requested_by text NOT NULL,
    reason text,
    error jsonb,
    ignored_columns jsonb NOT NULL DEFAULT '[]',
    rule_changes jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    logged_at timestamptz                -- when the copy in Table Storage was written
);
CREATE UNIQUE INDEX sync_runs_in_flight ON sync_runs (entity_uid, lane) WHERE status IN ('queued', 'running');
CREATE INDEX sync_runs_by_entity ON sync_runs (entity_uid, created_at DESC);
CREATE INDEX sync_runs_unlogged ON sync_runs (completed_at) WHERE logged_at IS NULL;
CREATE INDEX sync_runs_recent ON sync_runs (created_at DESC, uid);

CREATE TABLE sync_slices (
    run_uid uuid NOT NULL REFERENCES sync_runs (uid),
    slice integer NOT NULL,
    connector_uid uuid NOT NULL,
    kind text NOT NULL DEFAULT 'walk' CHECK (kind IN ('walk', 'publish')),
    key_range jsonb,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    admitted boolean NOT NULL DEFAULT false,
    cursor jsonb,
    chunk integer NOT NULL DEFAULT 0,    -- chunks committed; with epoch it tells a lost COMMIT reply from a lost COMMIT
    epoch bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    message_id text,                     -- queue message of the holder
    dequeue_count integer NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    sends integer NOT NULL DEFAULT 0,
    fetched bigint NOT NULL DEFAULT 0,
    inserted bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    superseded bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0,
    released bigint NOT NULL DEFAULT 0,
    soft_deleted bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run_uid, slice)
);
CREATE INDEX sync_slices_open ON sync_slices (connector_uid, next_attempt_at) WHERE status IN ('queued', 'running');

CREATE TABLE passes (
    uid uuid PRIMARY KEY,                -- the run's uid
    entity_uid uuid NOT NULL REFERENCES entities (uid),
    generation bigint NOT NULL,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    writes_seen boolean NOT NULL,        -- false for a first load: nothing older can be missing
    unkeyed_rejects bigint NOT NULL DEFAULT 0,
    due_deletes bigint                   -- fixed once, when the guard judged the total
);

CREATE TABLE seen_keys (
    entity_uid uuid NOT NULL,
    pass_uid uuid NOT NULL,
    key_hash uuid NOT NULL
) PARTITION BY LIST (pass_uid);

CREATE TABLE missing_keys (
    entity_uid uuid NOT NULL REFERENCES entities (uid),
    key_hash uuid NOT NULL,
    passes integer NOT NULL,
    PRIMARY KEY (entity_uid, key_hash)
);

CREATE TABLE failed_records (
    uid uuid PRIMARY KEY,
    run_uid uuid NOT NULL,
    entity_uid uuid NOT NULL REFERENCES entities (uid),
    key text,
    key_hash uuid,
    version text,
    stage text NOT NULL,
    "column" text,
    code text NOT NULL,
    message text NOT NULL,
    raw text,                            -- ASCII JSON: jsonb would refuse what made the row a reject
    normalized jsonb,
    error_details jsonb,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'resolved', 'discarded')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX failed_records_open ON failed_records (entity_uid, key_hash) WHERE status = 'open' AND key_hash IS NOT NULL;
CREATE INDEX failed_records_by_entity ON failed_records (entity_uid, created_at DESC);

-- A row here is a message that must still be sent; it is deleted after the queue took it.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_uid uuid NOT NULL,
    slice integer NOT NULL,
    delay_seconds integer NOT NULL DEFAULT 0,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE poison_messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL,
    message_id text NOT NULL,
    body text NOT NULL,                  -- cut to 4 KiB
    run_uid uuid,
    slice integer,
    outcome text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (queue, message_id)
);

CREATE TABLE audit_trail (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'audit_trail is insert-only'; END $$;
CREATE TRIGGER audit_trail_insert_only BEFORE UPDATE OR DELETE ON audit_trail
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A deleted connector stays as a row, because runs and deleted entities name it; its name is free again.
ALTER TABLE connectors ADD COLUMN is_deleted boolean NOT NULL DEFAULT false;
ALTER TABLE connectors DROP CONSTRAINT connectors_tenant_name_key;
CREATE UNIQUE INDEX connectors_name ON connectors (tenant, name) WHERE NOT is_deleted;
