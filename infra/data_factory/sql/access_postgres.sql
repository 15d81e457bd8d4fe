-- What the factory may do in PostgreSQL; :factory is its name, :app the app's role. Run by an Entra administrator with
-- psql, in the service's database and on port 5432, after the first migration. Running it again changes nothing.
-- The role itself is made before, in the database postgres: SELECT pgaadauth_create_principal('<factory>', false, false).
-- Whoever makes a schema for another role, or sets what its tables grant, has to belong to that role.
GRANT :"app" TO CURRENT_USER;
GRANT USAGE ON SCHEMA bridge TO :"factory";
GRANT SELECT ON bridge.tenants, bridge.tenant_regions, bridge.connectors, bridge.entities, bridge.field_mappings,
    bridge.erp_sync_state, bridge.sync_runs, bridge.sync_slices, bridge.failed_records, bridge.background_sync_schedule
    TO :"factory";
-- Bulk copies land here and nowhere else; the app takes it from there.
CREATE SCHEMA IF NOT EXISTS landing AUTHORIZATION :"app";
GRANT USAGE ON SCHEMA landing TO :"factory";
ALTER DEFAULT PRIVILEGES FOR ROLE :"app" IN SCHEMA landing
    GRANT SELECT, INSERT, UPDATE, TRUNCATE ON TABLES TO :"factory";
GRANT SELECT, INSERT, UPDATE, TRUNCATE ON ALL TABLES IN SCHEMA landing TO :"factory";
