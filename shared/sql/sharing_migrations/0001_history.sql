-- Schema deltashare: eleven tables that keep versions, five that only grow. Where a predecessor's tables stand already
-- they are taken over: what they lack is added, and what cannot be is named, all at once, with nothing changed.
-- Runs inside one transaction with search_path = deltashare_state; functions live there, so that deltashare holds tables only.

CREATE SCHEMA IF NOT EXISTS deltashare;

CREATE TEMP TABLE wanted_tables (table_name text PRIMARY KEY, id text NOT NULL, has_versions boolean NOT NULL) ON COMMIT DROP;
INSERT INTO wanted_tables VALUES
    ('tenants', 'tenant_id', true), ('tenant_regions', 'tenant_region_id', true), ('projects', 'project_id', true),
    ('requests', 'request_id', true), ('share_packs', 'share_pack_id', true), ('recipients', 'recipient_id', true),
    ('shares', 'share_id', true), ('pipelines', 'pipeline_id', true), ('users', 'user_id', true),
    ('ad_groups', 'ad_group_id', true), ('databricks_objects', 'databricks_object_id', true),
    ('job_metrics', 'job_metric_id', false), ('project_costs', 'project_cost_id', false),
    ('sync_jobs', 'sync_job_id', false), ('notifications', 'notification_id', false), ('audit_trail', 'audit_id', false);

CREATE TEMP TABLE wanted_columns (table_name text, column_name text, type text) ON COMMIT DROP;
INSERT INTO wanted_columns
SELECT t.table_name, c.column_name, c.type
  FROM wanted_tables t,
       (VALUES ('effective_from', 'timestamptz'), ('effective_to', 'timestamptz'), ('is_current', 'boolean'),
               ('is_deleted', 'boolean'), ('version', 'integer'), ('created_by', 'text'), ('change_reason', 'text'))
       AS c (column_name, type)
 WHERE t.has_versions;
INSERT INTO wanted_columns VALUES
    -- Which tenants there are is said elsewhere (PUT /api/v1/tenants); here stands what only share packs know of them.
    ('tenants', 'name', 'text'), ('tenants', 'approval', 'text'),
    ('tenant_regions', 'tenant_id', 'uuid'), ('tenant_regions', 'region', 'text'), ('tenant_regions', 'workspace_url', 'text'),
    ('projects', 'tenant_id', 'uuid'), ('projects', 'name', 'text'), ('projects', 'description', 'text'),
    ('requests', 'project_id', 'uuid'), ('requests', 'tenant_id', 'uuid'), ('requests', 'share_pack_id', 'uuid'),
    ('requests', 'requestor', 'text'), ('requests', 'strategy', 'text'), ('requests', 'description', 'text'),
    ('requests', 'requested_at', 'timestamptz'),
    ('share_packs', 'tenant_id', 'uuid'), ('share_packs', 'business_line', 'text'), ('share_packs', 'project_id', 'uuid'),
    ('share_packs', 'request_id', 'uuid'), ('share_packs', 'share_pack_name', 'text'), ('share_packs', 'requestor', 'text'),
    ('share_packs', 'requestor_oid', 'text'), ('share_packs', 'uploaded_by', 'text'), ('share_packs', 'uploader_oid', 'text'),
    ('share_packs', 'strategy', 'text'), ('share_packs', 'workspace_url', 'text'), ('share_packs', 'config', 'jsonb'),
    ('share_packs', 'content_hash', 'text'), ('share_packs', 'file_name', 'text'), ('share_packs', 'start_at', 'timestamptz'),
    ('share_packs', 'share_pack_status', 'text'), ('share_packs', 'error_message', 'text'),
    ('share_packs', 'validation_errors', 'jsonb'), ('share_packs', 'validation_warnings', 'jsonb'),
    ('share_packs', 'requested_at', 'timestamptz'),
    ('recipients', 'workspace_url', 'text'), ('recipients', 'name', 'text'), ('recipients', 'recipient_type', 'text'),
    ('recipients', 'email', 'text'), ('recipients', 'metastore_id', 'text'), ('recipients', 'allowed_ips', 'jsonb'),
    ('recipients', 'comment', 'text'), ('recipients', 'token_id', 'text'), ('recipients', 'token_expires_at', 'timestamptz'),
    ('recipients', 'secret_name', 'text'), ('recipients', 'origin', 'text'), ('recipients', 'owned_since', 'timestamptz'),
    ('recipients', 'owned_by', 'text'), ('recipients', 'share_pack_id', 'uuid'),
    ('shares', 'workspace_url', 'text'), ('shares', 'name', 'text'), ('shares', 'comment', 'text'),
    ('shares', 'origin', 'text'), ('shares', 'owned_since', 'timestamptz'), ('shares', 'owned_by', 'text'),
    ('shares', 'share_pack_id', 'uuid'),
    ('pipelines', 'workspace_url', 'text'), ('pipelines', 'name', 'text'), ('pipelines', 'pipeline_type', 'text'),
    ('pipelines', 'databricks_id', 'text'), ('pipelines', 'source', 'text'), ('pipelines', 'destination', 'text'),
    ('pipelines', 'schedule', 'text'), ('pipelines', 'comment', 'text'), ('pipelines', 'origin', 'text'),
    ('pipelines', 'owned_since', 'timestamptz'), ('pipelines', 'owned_by', 'text'), ('pipelines', 'share_pack_id', 'uuid'),
    ('users', 'entra_id', 'text'), ('users', 'principal_name', 'text'), ('users', 'display_name', 'text'),
    ('users', 'mail', 'text'), ('users', 'enabled', 'boolean'),
    ('ad_groups', 'entra_id', 'text'), ('ad_groups', 'display_name', 'text'), ('ad_groups', 'mail', 'text'),
    ('ad_groups', 'security', 'boolean'),
    ('databricks_objects', 'workspace_url', 'text'), ('databricks_objects', 'full_name', 'text'),
    ('databricks_objects', 'object_type', 'text'), ('databricks_objects', 'owner', 'text'),
    ('job_metrics', 'workspace_url', 'text'), ('job_metrics', 'job_id', 'text'), ('job_metrics', 'run_id', 'text'),
    ('job_metrics', 'job_name', 'text'), ('job_metrics', 'result', 'text'), ('job_metrics', 'started_at', 'timestamptz'),
    ('job_metrics', 'ended_at', 'timestamptz'), ('job_metrics', 'creator', 'text'), ('job_metrics', 'job_uid', 'uuid'),
    ('job_metrics', 'recorded_at', 'timestamptz'),
    -- A day that is restated gets another row; the highest revision holds.
    ('project_costs', 'project_id', 'uuid'), ('project_costs', 'subscription_id', 'text'), ('project_costs', 'day', 'date'),
    ('project_costs', 'amount', 'numeric'), ('project_costs', 'currency', 'text'), ('project_costs', 'revision', 'integer'),
    ('project_costs', 'job_uid', 'uuid'), ('project_costs', 'recorded_at', 'timestamptz'),
    ('sync_jobs', 'job_uid', 'uuid'), ('sync_jobs', 'kind', 'text'), ('sync_jobs', 'scope', 'text'),
    ('sync_jobs', 'status', 'text'), ('sync_jobs', 'counts', 'jsonb'), ('sync_jobs', 'error_message', 'text'),
    ('sync_jobs', 'requested_by', 'text'), ('sync_jobs', 'started_at', 'timestamptz'), ('sync_jobs', 'at', 'timestamptz'),
    ('notifications', 'dedupe_key', 'text'), ('notifications', 'channel', 'text'), ('notifications', 'status', 'text'),
    ('notifications', 'share_pack_id', 'uuid'), ('notifications', 'kind', 'text'), ('notifications', 'recipients', 'jsonb'),
    ('notifications', 'subject', 'text'), ('notifications', 'body', 'text'), ('notifications', 'attempts', 'integer'),
    ('notifications', 'error_message', 'text'), ('notifications', 'at', 'timestamptz'),
    ('audit_trail', 'at', 'timestamptz'), ('audit_trail', 'actor', 'text'), ('audit_trail', 'actor_oid', 'text'),
    ('audit_trail', 'action', 'text'), ('audit_trail', 'target', 'text'), ('audit_trail', 'business_line', 'text'),
    ('audit_trail', 'share_pack_id', 'uuid'), ('audit_trail', 'before', 'jsonb'), ('audit_trail', 'after', 'jsonb'),
    ('audit_trail', 'plan_hash', 'text'), ('audit_trail', 'reason', 'text');

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '%.% only grows', TG_TABLE_SCHEMA, TG_TABLE_NAME; END $$;

-- The lock makes it hold between transactions too: each statement in here sees what was committed before it.
CREATE FUNCTION refuse_overlap() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    entity uuid;
    is_taken boolean;
BEGIN
    EXECUTE format('SELECT ($1).%I', TG_ARGV[0]) INTO entity USING NEW;
    PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_NAME || '/' || entity, 0));
    EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I o WHERE o.%I = $1 AND o.record_id <> $2'
                   ' AND o.effective_from < $3 AND $4 < o.effective_to)', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0])
        INTO is_taken USING entity, NEW.record_id, NEW.effective_to, NEW.effective_from;
    IF is_taken THEN
        RAISE EXCEPTION '%: two versions at the same time', TG_TABLE_NAME USING ERRCODE = 'exclusion_violation';
    END IF;
    RETURN NULL;
END $$;

DO $$
DECLARE
    t record;
    c record;
    k record;
    at regclass;
    n bigint;
    problems text[] := '{}';
BEGIN
    FOR t IN SELECT * FROM wanted_tables ORDER BY table_name LOOP
        IF t.has_versions THEN
            EXECUTE format('CREATE TABLE IF NOT EXISTS deltashare.%I (record_id uuid PRIMARY KEY, %I uuid NOT NULL)',
                           t.table_name, t.id);
        ELSE
            EXECUTE format('CREATE TABLE IF NOT EXISTS deltashare.%I (%I uuid PRIMARY KEY)', t.table_name, t.id);
        END IF;
        at := format('deltashare.%I', t.table_name)::regclass;
        FOR c IN SELECT * FROM wanted_columns w WHERE w.table_name = t.table_name
                 UNION ALL SELECT t.table_name, t.id, 'uuid'
                 UNION ALL SELECT t.table_name, 'record_id', 'uuid' WHERE t.has_versions LOOP
            SELECT a.atttypid::regtype::text AS type, y.typtype INTO k
              FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
             WHERE a.attrelid = at AND a.attname = c.column_name AND NOT a.attisdropped;
            IF NOT FOUND THEN
                EXECUTE format('ALTER TABLE %s ADD COLUMN %I %s', at, c.column_name, c.type);
            ELSIF k.type = c.type::regtype::text THEN
                NULL;
            ELSIF (c.type = 'text' AND (k.type IN ('character varying', 'character') OR k.typtype = 'e'))
                  OR (c.type = 'jsonb' AND k.type = 'json') OR (c.type = 'integer' AND k.type = 'smallint')
                  OR (c.type = 'numeric' AND k.type IN ('smallint', 'integer', 'bigint')) THEN
                BEGIN
                    EXECUTE format('ALTER TABLE %s ALTER %I DROP DEFAULT, ALTER %I TYPE %s USING %I::%s',
                                   at, c.column_name, c.column_name, c.type, c.column_name, c.type);
                EXCEPTION WHEN others THEN
                    problems := problems || format('%s.%s: cannot become %s (SQLSTATE %s)',
                                                   t.table_name, c.column_name, c.type, SQLSTATE);
                END;
            ELSE
                problems := problems || format('%s.%s: is %s, must be %s', t.table_name, c.column_name, k.type, c.type);
            END IF;
        END LOOP;
        -- Columns of the predecessor's own are kept but never filled again.
        FOR c IN SELECT a.attname FROM pg_attribute a
                  WHERE a.attrelid = at AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef
                    AND a.attidentity = '' AND a.attname NOT IN ('record_id', t.id)
                    AND NOT EXISTS (SELECT FROM pg_constraint p
                                     WHERE p.conrelid = at AND p.contype = 'p' AND a.attnum = ANY (p.conkey)) LOOP
            EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', at, c.attname);
        END LOOP;
        -- What a version may not be refused by.
        FOR k IN SELECT p.conname, p.contype FROM pg_constraint p
                  WHERE p.conrelid = at AND (p.contype = 'f'
                     OR (p.contype = 'c' AND pg_get_constraintdef(p.oid) LIKE '%status%')) LOOP
            problems := problems || format('%s: constraint %s would refuse new versions; drop it', t.table_name, k.conname);
        END LOOP;
        SELECT array_agg(a.attname::text) AS columns INTO k
          FROM pg_constraint p JOIN pg_attribute a ON a.attrelid = p.conrelid AND a.attnum = ANY (p.conkey)
         WHERE p.conrelid = at AND p.contype = 'p';
        IF k.columns IS NULL AND problems = '{}' THEN
            EXECUTE format('UPDATE %s SET %I = gen_random_uuid() WHERE %2$I IS NULL', at,
                           CASE WHEN t.has_versions THEN 'record_id' ELSE t.id END);
            EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (%I)', at,
                           CASE WHEN t.has_versions THEN 'record_id' ELSE t.id END);
        ELSIF k.columns <> ARRAY[CASE WHEN t.has_versions THEN 'record_id' ELSE t.id END] THEN
            problems := problems || format('%s: its primary key is (%s), must be (%s)', t.table_name,
                                           array_to_string(k.columns, ', '),
                                           CASE WHEN t.has_versions THEN 'record_id' ELSE t.id END);
        END IF;
        FOR k IN SELECT i.indexrelid::regclass::text AS name,
                        (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
                          WHERE a.attrelid = at AND a.attnum = ANY (i.indkey)) AS columns
                   FROM pg_index i
                  WHERE i.indrelid = at AND i.indisunique AND NOT i.indisprimary AND i.indpred IS NULL AND t.has_versions LOOP
            IF NOT k.columns @> ARRAY['version'] AND NOT k.columns @> ARRAY['record_id'] THEN
                problems := problems || format('%s: unique index %s would refuse new versions; drop it', t.table_name, k.name);
            END IF;
        END LOOP;
    END LOOP;
    IF problems <> '{}' THEN
        RAISE EXCEPTION '%', array_to_string(problems, '; ') USING ERRCODE = 'TB001';
    END IF;

    FOR t IN SELECT * FROM wanted_tables WHERE has_versions ORDER BY table_name LOOP
        at := format('deltashare.%I', t.table_name)::regclass;
        -- An open end that was spelt NULL, and columns that the predecessor did not have, have one meaning only.
        EXECUTE format('UPDATE %s SET effective_to = ''infinity'' WHERE effective_to IS NULL AND is_current IS NOT FALSE', at);
        EXECUTE format('UPDATE %s SET is_current = (effective_to = ''infinity'') WHERE is_current IS NULL', at);
        EXECUTE format('UPDATE %s SET is_deleted = false WHERE is_deleted IS NULL', at);
        EXECUTE format('UPDATE %s SET created_by = ''unknown'' WHERE created_by IS NULL', at);
        EXECUTE format('UPDATE %s SET change_reason = ''adopted'' WHERE change_reason IS NULL', at);
        EXECUTE format('UPDATE %s v SET version = n.n FROM (SELECT record_id, row_number() OVER'
                       ' (PARTITION BY %I ORDER BY effective_from, record_id) AS n FROM %1$s) n'
                       ' WHERE n.record_id = v.record_id AND NOT EXISTS (SELECT FROM %1$s o'
                       ' WHERE o.%2$I = v.%2$I AND o.version IS NOT NULL)', at, t.id);
        FOR k IN SELECT * FROM (VALUES
            ('versions without %2$I, effective_from, effective_to or version',
             '%2$I IS NULL OR effective_from IS NULL OR effective_to IS NULL OR version IS NULL'),
            ('versions that end before they begin', 'effective_from >= effective_to'),
            ('versions whose is_current contradicts effective_to', 'is_current <> (effective_to = ''infinity'')'),
            ('versions that are current beside another one',
             'is_current AND EXISTS (SELECT FROM %1$s o WHERE o.%2$I = v.%2$I AND o.is_current AND o.record_id <> v.record_id)'),
            ('versions whose number stands twice',
             'EXISTS (SELECT FROM %1$s o WHERE o.%2$I = v.%2$I AND o.version = v.version AND o.record_id <> v.record_id)'),
            ('versions at the same time as another one',
             'EXISTS (SELECT FROM %1$s o WHERE o.%2$I = v.%2$I AND o.record_id <> v.record_id'
             ' AND o.effective_from < v.effective_to AND v.effective_from < o.effective_to)')) AS rules (what, holds) LOOP
            EXECUTE format('SELECT count(*) FROM %1$s v WHERE ' || k.holds, at, t.id) INTO n;
            IF n > 0 THEN
                problems := problems || format('%s: %s %s', t.table_name, n, format(k.what, at, t.id));
            END IF;
        END LOOP;
    END LOOP;
    IF problems <> '{}' THEN
        RAISE EXCEPTION '%', array_to_string(problems, '; ') USING ERRCODE = 'TB001';
    END IF;

    FOR t IN SELECT * FROM wanted_tables WHERE has_versions ORDER BY table_name LOOP
        at := format('deltashare.%I', t.table_name)::regclass;
        EXECUTE format('ALTER TABLE %s'
            ' ALTER %I SET NOT NULL, ALTER effective_from SET NOT NULL, ALTER effective_to SET NOT NULL,'
            ' ALTER effective_to SET DEFAULT ''infinity'', ALTER is_current SET NOT NULL, ALTER is_deleted SET NOT NULL,'
            ' ALTER is_deleted SET DEFAULT false, ALTER version SET NOT NULL, ALTER created_by SET NOT NULL,'
            ' ALTER change_reason SET NOT NULL,'
            ' ADD CONSTRAINT %I CHECK (effective_from < effective_to),'
            ' ADD CONSTRAINT %I CHECK (is_current = (effective_to = ''infinity'')),'
            ' ADD CONSTRAINT %I UNIQUE (%2$I, version)',
            at, t.id, t.table_name || '_interval', t.table_name || '_current_is_open', t.table_name || '_version');
        EXECUTE format('CREATE UNIQUE INDEX %I ON %s (%I) WHERE is_current', t.table_name || '_one_current', at, t.id);
        EXECUTE format('CREATE TRIGGER %I AFTER INSERT OR UPDATE OF %I, effective_from, effective_to ON %s'
                       ' FOR EACH ROW EXECUTE FUNCTION refuse_overlap(%L)', t.table_name || '_no_overlap', t.id, at, t.id);
    END LOOP;
    FOR t IN SELECT * FROM wanted_tables WHERE NOT has_versions ORDER BY table_name LOOP
        at := format('deltashare.%I', t.table_name)::regclass;
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON %s'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', t.table_name || '_only_grows', at);
        FOR k IN SELECT DISTINCT g.grantee FROM pg_class r, aclexplode(r.relacl) g
                  WHERE r.oid = at AND g.grantee <> r.relowner
                    AND g.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE') LOOP
            EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM %s', at,
                           CASE WHEN k.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(k.grantee)) END);
        END LOOP;
    END LOOP;
END $$;

ALTER TABLE deltashare.audit_trail ALTER at SET DEFAULT clock_timestamp();
ALTER TABLE deltashare.sync_jobs ALTER at SET DEFAULT clock_timestamp();
ALTER TABLE deltashare.notifications ALTER at SET DEFAULT clock_timestamp();
ALTER TABLE deltashare.job_metrics ALTER recorded_at SET DEFAULT clock_timestamp();
ALTER TABLE deltashare.project_costs ALTER recorded_at SET DEFAULT clock_timestamp();

CREATE INDEX share_packs_newest ON deltashare.share_packs (business_line, requested_at DESC, share_pack_id) WHERE is_current;
CREATE INDEX share_packs_name ON deltashare.share_packs (share_pack_name);
CREATE INDEX projects_tenant ON deltashare.projects (tenant_id) WHERE is_current;
CREATE INDEX recipients_name ON deltashare.recipients (workspace_url, name);
CREATE INDEX shares_name ON deltashare.shares (workspace_url, name);
CREATE INDEX pipelines_name ON deltashare.pipelines (workspace_url, name);
CREATE INDEX users_name ON deltashare.users (lower(principal_name)) WHERE is_current;
CREATE INDEX ad_groups_name ON deltashare.ad_groups (lower(display_name)) WHERE is_current;
CREATE INDEX databricks_objects_name ON deltashare.databricks_objects (workspace_url, full_name) WHERE is_current;
-- A predecessor's rows have none of these; what they repeat stays as it is.
CREATE UNIQUE INDEX job_metrics_once ON deltashare.job_metrics (workspace_url, run_id) WHERE job_uid IS NOT NULL;
CREATE UNIQUE INDEX project_costs_once ON deltashare.project_costs (project_id, day, currency, subscription_id, revision);
CREATE INDEX sync_jobs_job ON deltashare.sync_jobs (job_uid, at);
CREATE UNIQUE INDEX notifications_once ON deltashare.notifications (dedupe_key, channel) WHERE status = 'sent';
CREATE INDEX notifications_newest ON deltashare.notifications (at DESC, notification_id);
CREATE INDEX audit_trail_pack ON deltashare.audit_trail (share_pack_id, at);

-- Packs of a predecessor are listed among ours.
UPDATE deltashare.share_packs SET requested_at = effective_from WHERE requested_at IS NULL;
