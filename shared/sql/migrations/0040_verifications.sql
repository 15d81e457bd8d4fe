-- Verifications: runs of their own purpose that compare a target with its source and write neither.

ALTER TABLE entities ADD COLUMN IF NOT EXISTS verify_interval_seconds integer CHECK (verify_interval_seconds > 0);

CREATE TABLE verifications (
    uid uuid PRIMARY KEY REFERENCES sync_runs (uid),   -- the run's uid
    entity_uid uuid NOT NULL REFERENCES entities (uid),
    source_sums bytea,                   -- rows, key and row sums of each bucket; while the run is under way
    target_sums bytea,
    outcome text CHECK (outcome IN ('equal', 'different', 'unverified')), -- null until there is one
    why jsonb,                           -- {"code","message","hint"}
    findings jsonb NOT NULL DEFAULT '{}', -- counts, bound, examples by reference: never a row's values
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX verifications_by_entity ON verifications (entity_uid, created_at DESC);

-- What a verification has gathered of differing buckets, as frames; gone when it ends.
CREATE TABLE verification_pieces (
    uid uuid NOT NULL,
    step text NOT NULL,
    side text NOT NULL,
    number integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (uid, step, side, number)
);
