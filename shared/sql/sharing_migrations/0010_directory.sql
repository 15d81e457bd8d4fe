-- How far directory syncs got, what they left for the next, and notices until they are delivered.
-- Runs inside one transaction with search_path = deltashare_state.

CREATE TABLE directory_jobs (
    job_uid uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('users', 'groups', 'workspace_objects', 'job_metrics', 'project_costs')),
    scope text NOT NULL,                  -- a workspace's host, a subscription, or nothing
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    allowed_removals integer CHECK (allowed_removals >= 0),
    started_at timestamptz,
    finished_at timestamptz,
    status text CHECK (status IN ('success', 'partial', 'failed')),
    error text,
    epoch bigint NOT NULL DEFAULT 0,      -- the fence: each claim raises it
    lease_until timestamptz,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    failures integer NOT NULL DEFAULT 0,  -- transient ones since the last page was kept
    position text NOT NULL DEFAULT '',
    resume text NOT NULL DEFAULT '',
    is_full boolean NOT NULL DEFAULT false,
    proven boolean NOT NULL DEFAULT true,
    counts jsonb NOT NULL DEFAULT '{}',
    CHECK ((finished_at IS NULL) = (status IS NULL))
);
CREATE UNIQUE INDEX directory_jobs_one_unfinished ON directory_jobs (kind, scope) WHERE finished_at IS NULL;
CREATE INDEX directory_jobs_newest ON directory_jobs (kind, scope, requested_at DESC);

-- Delta links and watermarks: what the last good job left for the next.
CREATE TABLE directory_links (
    kind text NOT NULL,
    scope text NOT NULL,
    resume text NOT NULL,
    PRIMARY KEY (kind, scope)
);

CREATE TABLE directory_marks (
    job_uid uuid NOT NULL REFERENCES directory_jobs ON DELETE CASCADE,
    id text NOT NULL,
    present boolean NOT NULL,
    PRIMARY KEY (job_uid, id)
);

CREATE TABLE notices (
    notice_uid uuid PRIMARY KEY,
    dedupe_key text NOT NULL,
    channel text NOT NULL CHECK (channel IN ('email', 'webhook')),
    kind text NOT NULL,
    subject text NOT NULL,
    body text NOT NULL,
    recipients text[] NOT NULL,
    share_pack_id uuid,
    attempts integer NOT NULL DEFAULT 0,  -- counted when they begin, so that one which kills its process counts too
    next_attempt_at timestamptz NOT NULL,
    lease_until timestamptz,
    concluded_at timestamptz,             -- kept afterwards: the key is what says a notice once
    UNIQUE (dedupe_key, channel)
);
CREATE INDEX notices_next ON notices (next_attempt_at) WHERE concluded_at IS NULL;
