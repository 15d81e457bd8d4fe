-- For the owner of a source database: lets Tributary see what changed in a table, exactly and cheaply. Run it once with
-- psql (again after an upgrade; it changes nothing that is right already), then for each table one of:
--
--   SELECT tributary.add_version('sales.orders');   -- a column row_version in the table, set by a trigger
--   SELECT tributary.track('sales.orders');         -- a change table beside it; the table itself is left alone
--
-- Both write down the id of the transaction that touched a row. Both take a lock against writers while they run:
-- add_version for a moment, track for as long as reading the table's keys takes. Each answers what else to do.
--   SELECT tributary.renew('sales.orders');         -- after pg_restore into another server: ids of this one
--   SELECT tributary.untrack('sales.orders');       -- takes either away again, but for the column
-- PostgreSQL 13 or newer.

CREATE SCHEMA IF NOT EXISTS tributary;

-- Which change table belongs to which table; names survive a dump, and renames.
CREATE TABLE IF NOT EXISTS tributary.tracked (
    relation regclass PRIMARY KEY,
    changes regclass NOT NULL UNIQUE
);

CREATE OR REPLACE FUNCTION tributary.key_of(relation regclass) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT array_agg(format('%I', a.attname) ORDER BY k.place)
      FROM pg_constraint p
     CROSS JOIN LATERAL unnest(p.conkey) WITH ORDINALITY AS k(attnum, place)
      JOIN pg_attribute a ON a.attrelid = p.conrelid AND a.attnum = k.attnum
     WHERE p.conrelid = relation AND p.contype = 'p'
$$;

CREATE OR REPLACE FUNCTION tributary.set_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.row_version := pg_current_xact_id();
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION tributary.add_version(relation regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    key text[] := tributary.key_of(relation);
BEGIN
    IF key IS NULL THEN
        RAISE EXCEPTION '% has no primary key', relation;
    END IF;
    -- The default is stable, so existing rows get it without the table being rewritten.
    EXECUTE format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS row_version xid8 NOT NULL DEFAULT pg_current_xact_id()',
                   relation);
    EXECUTE format('DROP TRIGGER IF EXISTS zz_tributary_version ON %s', relation);
    -- Triggers fire in the order of their names: this one has the last word.
    EXECUTE format('CREATE TRIGGER zz_tributary_version BEFORE INSERT OR UPDATE ON %s
                    FOR EACH ROW EXECUTE FUNCTION tributary.set_version()', relation);
    RETURN format('now: CREATE INDEX CONCURRENTLY ON %s (row_version, %s)', relation, array_to_string(key, ', '));
END
$$;

CREATE OR REPLACE FUNCTION tributary.track(relation regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    key text[] := tributary.key_of(relation);
    keys text := array_to_string(key, ', ');
    news text := (SELECT string_agg('NEW.' || k, ', ') FROM unnest(key) k);
    olds text := (SELECT string_agg('OLD.' || k, ', ') FROM unnest(key) k);
    plain text := format('%s_%s', left((SELECT relname FROM pg_class WHERE oid = relation), 40), relation::oid);
    changes text := format('tributary.%I', plain);
    touch text := format('tributary.%I', 'touch_' || plain);
    upsert text;
BEGIN
    IF key IS NULL THEN
        RAISE EXCEPTION '% has no primary key', relation;
    END IF;
    PERFORM tributary.untrack(relation);
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
    EXECUTE format('CREATE TABLE %s AS SELECT %s FROM %s', changes, keys, relation);
    EXECUTE format('ALTER TABLE %s ADD COLUMN _bridge_changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
                    ADD COLUMN _bridge_deleted boolean NOT NULL DEFAULT false, ADD PRIMARY KEY (%s)', changes, keys);
    EXECUTE format('CREATE INDEX ON %s (_bridge_changed, %s)', changes, keys);
    EXECUTE format('CREATE INDEX ON %s (_bridge_changed) WHERE _bridge_deleted', changes);
    -- One row a key, however often it changes: so this table needs no clearing.
    upsert := format('INSERT INTO %s (%s, _bridge_deleted) VALUES (%%s, %%s) ON CONFLICT (%s) DO UPDATE
                      SET _bridge_changed = EXCLUDED._bridge_changed, _bridge_deleted = EXCLUDED._bridge_deleted;',
                     changes, keys, keys);
    -- Whoever writes to the table need not be allowed to write here.
    EXECUTE format(
        'CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
         BEGIN
             IF TG_OP = ''TRUNCATE'' THEN
                 UPDATE %s SET _bridge_changed = pg_current_xact_id(), _bridge_deleted = true WHERE NOT _bridge_deleted;
                 RETURN NULL;
             END IF;
             IF TG_OP = ''DELETE'' OR (TG_OP = ''UPDATE'' AND (%s) IS DISTINCT FROM (%s)) THEN %s END IF;
             IF TG_OP <> ''DELETE'' THEN %s END IF;
             RETURN NULL;
         END $body$', touch, changes, 'ROW(' || olds || ')', 'ROW(' || news || ')',
        format(upsert, olds, 'true'), format(upsert, news, 'false'));
    EXECUTE format('CREATE TRIGGER zz_tributary_rows AFTER INSERT OR UPDATE OR DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION %s()', relation, touch);
    EXECUTE format('CREATE TRIGGER zz_tributary_truncate AFTER TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION %s()', relation, touch);
    INSERT INTO tributary.tracked VALUES (relation, changes::regclass);
    RETURN format('now: GRANT USAGE ON SCHEMA tributary TO <reader>; GRANT SELECT ON tributary.tracked, %s TO <reader>',
                  changes);
END
$$;

CREATE OR REPLACE FUNCTION tributary.untrack(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gone regclass;
    touch text;
BEGIN
    EXECUTE format('DROP TRIGGER IF EXISTS zz_tributary_version ON %s', relation);
    DELETE FROM tributary.tracked t WHERE t.relation = untrack.relation RETURNING t.changes INTO gone;
    IF gone IS NOT NULL THEN
        touch := format('tributary.%I', 'touch_' || (SELECT relname FROM pg_class WHERE oid = gone));
        EXECUTE format('DROP FUNCTION %s() CASCADE', touch);
        EXECUTE format('DROP TABLE %s', gone);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION tributary.renew(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    known regclass := (SELECT t.changes FROM tributary.tracked t WHERE t.relation = renew.relation);
BEGIN
    IF known IS NOT NULL THEN
        EXECUTE format('UPDATE %s SET _bridge_changed = pg_current_xact_id()', known);
    ELSE
        EXECUTE format('UPDATE %s SET row_version = pg_current_xact_id()', relation);
    END IF;
END
$$;
