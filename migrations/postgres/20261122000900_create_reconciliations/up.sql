-- Where our books and the carrier's differ.
CREATE TABLE drifts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    carrier_account text NOT NULL,
    profile_id      bigint NOT NULL REFERENCES profiles (id),
    kind            text NOT NULL CHECK (kind IN ('unexpected_bundle', 'missing_bundle', 'unknown_to_carrier',
        'impossible_move', 'in_use_unsold')),
    -- What it is about: a subscription, a status.
    subject         text NOT NULL,
    details         jsonb NOT NULL,
    status          text NOT NULL CHECK (status IN ('open', 'healed', 'gone')),
    first_seen_at   timestamptz NOT NULL,
    last_seen_at    timestamptz NOT NULL
);
CREATE INDEX drifts_by_profile ON drifts (profile_id, id);
CREATE UNIQUE INDEX drifts_one_open ON drifts (profile_id, kind, subject) WHERE status = 'open';
CREATE INDEX drifts_open ON drifts ((id + 0)) WHERE status = 'open';

-- What a comparison did not find: a difference only when another one does not find it either.
CREATE TABLE suspicions (
    profile_id bigint NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('unexpected_bundle', 'missing_bundle', 'unknown_to_carrier',
        'impossible_move', 'in_use_unsold')),
    subject    text NOT NULL,
    since      timestamptz NOT NULL,
    PRIMARY KEY (profile_id, kind, subject)
);

CREATE TABLE reconciliations (
    id           uuid PRIMARY KEY,
    status       text NOT NULL CHECK (status IN ('running', 'completed', 'failed')),
    -- Profiles to compare, compared, and those that could not be.
    total        bigint NOT NULL,
    compared     bigint NOT NULL,
    unread       bigint NOT NULL,
    -- Differences found by it, and those of them that a rule has healed.
    drifts       bigint NOT NULL,
    healed       bigint NOT NULL,
    -- Lines at the carrier that are not in the stock.
    unknown_lines bigint NOT NULL,
    -- The pool that takes lines in which are not in the stock, and how many it took.
    adopt_pool_id bigint REFERENCES pools (id),
    adopted      bigint NOT NULL,
    -- The last profile that was compared.
    after        bigint NOT NULL,
    problem      text,
    lease_token  uuid,
    lease_until  timestamptz,
    version      bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    CHECK ((finished_at IS NULL) = (status = 'running'))
);
CREATE UNIQUE INDEX reconciliations_one_running ON reconciliations (status) WHERE status = 'running';

-- When the continuous sweep looks at a sold profile again.
CREATE TABLE profile_checks (
    profile_id bigint PRIMARY KEY REFERENCES profiles (id) ON DELETE CASCADE,
    check_at   timestamptz NOT NULL,
    checks     integer NOT NULL DEFAULT 0
);
CREATE INDEX profile_checks_due ON profile_checks (check_at);

-- How far a job has come.
CREATE TABLE watermarks (
    name  text PRIMARY KEY,
    value bigint NOT NULL
);
-- Turns at a carrier, shared by every process: the moment of the next free one.
CREATE TABLE carrier_turns (
    carrier_account text PRIMARY KEY,
    next_at         timestamptz NOT NULL
);
