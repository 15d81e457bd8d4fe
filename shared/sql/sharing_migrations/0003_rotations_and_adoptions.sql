-- Rotations of tokens that people ask for, each with its plan and the journal of its one step; and what adopted shares
-- held, and who read them, when they were adopted. Runs inside one transaction with search_path = deltashare_state.

CREATE TABLE rotations (
    rotation_uid uuid PRIMARY KEY,
    workspace text NOT NULL,
    recipient text NOT NULL,
    business_line text NOT NULL,
    document jsonb NOT NULL,              -- the plan, with the ids of the tokens that were there before
    requested_by text NOT NULL,
    epoch bigint NOT NULL DEFAULT 1,      -- the fence: each taking raises it
    lease_until timestamptz,
    step text CHECK (step IN ('intended', 'done', 'failed', 'skipped')),
    result jsonb NOT NULL DEFAULT '{}',
    error text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
CREATE UNIQUE INDEX rotations_one_unfinished ON rotations (workspace, recipient) WHERE finished_at IS NULL;

CREATE TABLE adopted (
    adopted_uid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace text NOT NULL,
    share text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('object', 'grant')),
    name text NOT NULL,                   -- the object's full name, or the recipient's
    object_type text NOT NULL DEFAULT '',
    alias text NOT NULL DEFAULT '',
    business_line text,                   -- whose approver adopted it
    adopted_by text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL DEFAULT 'infinity',
    CONSTRAINT adopted_interval CHECK (valid_from < valid_to)
);
CREATE UNIQUE INDEX adopted_one_current ON adopted (workspace, share, kind, name, alias) WHERE valid_to = 'infinity';
