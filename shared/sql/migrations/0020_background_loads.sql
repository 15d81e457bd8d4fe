-- Background loads: a table read over several nights, inside a window. Runs with search_path = {schema}.

CREATE TABLE background_sync_schedule (
    uid uuid PRIMARY KEY,
    entity_uid uuid NOT NULL UNIQUE REFERENCES entities (uid),
    window_start time NOT NULL,
    window_end time NOT NULL,            -- not after window_start: on the next day
    time_zone text NOT NULL,
    days_to_complete integer NOT NULL CHECK (days_to_complete BETWEEN 1 AND 366),
    is_active boolean NOT NULL,
    is_first_load boolean NOT NULL,      -- when the load began, nobody had read the whole table: timers leave it alone
    generation bigint,                   -- of the load; another generation begins anew
    cursor jsonb,                        -- where the next night goes on; null: at the table's beginning
    first_night date,                    -- local dates on which the windows of the load's first run opened,
    last_night date,                     -- and of the last run: one run a night
    nights integer NOT NULL DEFAULT 0,   -- that had a run
    rows_read bigint NOT NULL DEFAULT 0,
    rows_before bigint NOT NULL DEFAULT 0, -- rows_read when the last run began
    rows_expected bigint,
    run_uid uuid,                        -- the last run
    yielded_night date,                  -- the night that last waited for a due sweep,
    yielded_at timestamptz,              -- and since when
    trouble jsonb,                       -- why tonight's run could not begin, or the load began anew
    finished_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE sync_runs ADD COLUMN night jsonb; -- for a background load: {"schedule_uid","ends_at","nights_left","rows_before"}
