-- What carries share packs through: uploads, applications with their journal, plans, approvals, leases, contributions,
-- outbox. Runs inside one transaction with search_path = deltashare_state.

CREATE TABLE idempotency (
    business_line text NOT NULL,
    workspace_url text NOT NULL,
    content_hash text NOT NULL,           -- SHA-256 of the uploaded bytes, hex
    share_pack_id uuid NOT NULL UNIQUE,
    share_pack_name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_line, workspace_url, content_hash)
);

CREATE TABLE applications (
    application_uid uuid PRIMARY KEY,
    share_pack_id uuid NOT NULL,
    pack_version integer NOT NULL,        -- the version of the pack whose configuration is applied
    status text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'running', 'waiting', 'done', 'failed', 'cancelled')),
    epoch bigint NOT NULL DEFAULT 0,      -- the fence: each claim raises it
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,  -- transient ones in a row
    plan_uid uuid,                        -- the plan that the journal is about; none before its first step
    message_id text,
    dequeue_count integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    sends integer NOT NULL DEFAULT 0,
    error jsonb,
    requested_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    CHECK ((finished_at IS NOT NULL) = (status IN ('done', 'failed', 'cancelled')))
);
CREATE UNIQUE INDEX applications_one_unfinished ON applications (share_pack_id) WHERE finished_at IS NULL;
CREATE INDEX applications_of_pack ON applications (share_pack_id, created_at DESC);

CREATE TABLE journal (
    application_uid uuid NOT NULL REFERENCES applications,
    position integer NOT NULL CHECK (position >= 0),
    action text NOT NULL,
    status text NOT NULL CHECK (status IN ('intended', 'done', 'skipped', 'failed')),
    result jsonb NOT NULL DEFAULT '{}',
    epoch bigint NOT NULL,
    intended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    concluded_at timestamptz,
    PRIMARY KEY (application_uid, position)
);

CREATE TABLE plans (
    plan_uid uuid PRIMARY KEY,
    application_uid uuid NOT NULL REFERENCES applications,
    share_pack_id uuid NOT NULL,
    pack_version integer NOT NULL,
    plan_hash text NOT NULL,
    document jsonb NOT NULL,
    widens boolean NOT NULL,
    requestor text NOT NULL,              -- lower case; with the two ids, who may not approve
    requestor_oid text NOT NULL,
    uploader_oid text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (application_uid, plan_hash),
    UNIQUE (plan_uid, plan_hash, requestor, requestor_oid, uploader_oid)
);
CREATE INDEX plans_of_pack ON plans (share_pack_id, created_at DESC);

CREATE TABLE approvals (
    approval_uid uuid PRIMARY KEY,
    plan_uid uuid NOT NULL UNIQUE,        -- a plan is decided once
    plan_hash text NOT NULL,
    decision text NOT NULL CHECK (decision IN ('approved', 'rejected')),
    approver_oid text NOT NULL CHECK (approver_oid <> ''),
    approver_name text NOT NULL,
    requestor text NOT NULL,
    requestor_oid text NOT NULL,
    uploader_oid text NOT NULL,
    reason text,
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The plan's own words about who asked, so that no row can name somebody else.
    FOREIGN KEY (plan_uid, plan_hash, requestor, requestor_oid, uploader_oid)
        REFERENCES plans (plan_uid, plan_hash, requestor, requestor_oid, uploader_oid),
    CONSTRAINT approvals_by_another CHECK (
        approver_oid NOT IN (requestor_oid, uploader_oid) AND lower(approver_name) <> requestor),
    CHECK (decision = 'approved' OR reason IS NOT NULL)
);

CREATE TABLE leases (
    workspace text NOT NULL,
    name text NOT NULL,                   -- kind:name
    holder uuid NOT NULL,
    fence bigint NOT NULL DEFAULT 1,      -- each taking raises it
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (workspace, name)
);
CREATE INDEX leases_held ON leases (holder);

CREATE TABLE contributions (
    contribution_uid uuid PRIMARY KEY,
    share_pack_id uuid NOT NULL,
    workspace text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('share', 'recipient', 'object', 'grant', 'pipeline')),
    key text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL DEFAULT 'infinity',
    CONSTRAINT contributions_interval CHECK (valid_from < valid_to)
);
CREATE UNIQUE INDEX contributions_one_current ON contributions (share_pack_id, workspace, kind, key)
    WHERE valid_to = 'infinity';
CREATE INDEX contributions_at ON contributions (workspace, kind, key, valid_from);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    application_uid uuid NOT NULL REFERENCES applications,
    due_at timestamptz NOT NULL DEFAULT now(),
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Directory syncs: how far they got, and what a walk saw.
CREATE TABLE directory_jobs (
    job_uid uuid PRIMARY KEY,
    kind text NOT NULL,
    scope text NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    allowed_removals integer,
    epoch bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    cursor text NOT NULL DEFAULT '',
    resume text NOT NULL DEFAULT '',
    is_full boolean NOT NULL DEFAULT false,
    is_proven boolean NOT NULL DEFAULT true,
    failures integer NOT NULL DEFAULT 0,
    counts jsonb NOT NULL DEFAULT '{}',
    status text,
    error text,
    finished_at timestamptz
);
CREATE UNIQUE INDEX directory_jobs_one_unfinished ON directory_jobs (kind, scope) WHERE finished_at IS NULL;
CREATE INDEX directory_jobs_newest ON directory_jobs (kind, scope, requested_at DESC);

CREATE TABLE directory_marks (
    job_uid uuid NOT NULL REFERENCES directory_jobs,
    id text NOT NULL,
    present boolean NOT NULL,
    PRIMARY KEY (job_uid, id)
);

CREATE TABLE notices (
    notice_uid uuid PRIMARY KEY,
    dedupe_key text NOT NULL,
    channel text NOT NULL,
    notice jsonb NOT NULL,
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    concluded_at timestamptz,
    UNIQUE (dedupe_key, channel)          -- what was said once is never said again
);
CREATE INDEX notices_due ON notices (due_at) WHERE concluded_at IS NULL;
