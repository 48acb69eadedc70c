-- Where our books and the carrier's differ.
CREATE TABLE drifts (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    carrier_account TEXT NOT NULL,
    profile_id      INTEGER NOT NULL REFERENCES profiles (id),
    kind            TEXT NOT NULL CHECK (kind IN ('unexpected_bundle', 'missing_bundle', 'unknown_to_carrier',
        'impossible_move', 'in_use_unsold')),
    -- What it is about: a subscription, a status.
    subject         TEXT NOT NULL,
    details         TEXT NOT NULL,
    status          TEXT NOT NULL CHECK (status IN ('open', 'healed', 'gone')),
    first_seen_at   INTEGER NOT NULL,
    last_seen_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX drifts_by_profile ON drifts (profile_id, id);
CREATE UNIQUE INDEX drifts_one_open ON drifts (profile_id, kind, subject) WHERE status = 'open';
CREATE INDEX drifts_open ON drifts ((id + 0)) WHERE status = 'open';

-- What a comparison did not find: a difference only when another one does not find it either.
CREATE TABLE suspicions (
    profile_id INTEGER NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('unexpected_bundle', 'missing_bundle', 'unknown_to_carrier',
        'impossible_move', 'in_use_unsold')),
    subject    TEXT NOT NULL,
    since      INTEGER NOT NULL,
    PRIMARY KEY (profile_id, kind, subject)
) STRICT;

CREATE TABLE reconciliations (
    id           BLOB NOT NULL PRIMARY KEY,
    status       TEXT NOT NULL CHECK (status IN ('running', 'completed', 'failed')),
    -- Profiles to compare, compared, and those that could not be.
    total        INTEGER NOT NULL,
    compared     INTEGER NOT NULL,
    unread       INTEGER NOT NULL,
    -- Differences found by it, and those of them that a rule has healed.
    drifts       INTEGER NOT NULL,
    healed       INTEGER NOT NULL,
    -- Lines at the carrier that are not in the stock.
    unknown_lines INTEGER NOT NULL,
    -- The pool that takes lines in which are not in the stock, and how many it took.
    adopt_pool_id INTEGER REFERENCES pools (id),
    adopted      INTEGER NOT NULL,
    -- The last profile that was compared.
    after        INTEGER NOT NULL,
    problem      TEXT,
    lease_token  BLOB,
    lease_until  INTEGER,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    CHECK ((finished_at IS NULL) = (status = 'running'))
) STRICT;
CREATE UNIQUE INDEX reconciliations_one_running ON reconciliations (status) WHERE status = 'running';

-- When the continuous sweep looks at a sold profile again.
CREATE TABLE profile_checks (
    profile_id INTEGER PRIMARY KEY REFERENCES profiles (id) ON DELETE CASCADE,
    check_at   INTEGER NOT NULL,
    checks     INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX profile_checks_due ON profile_checks (check_at);

-- How far a job has come.
CREATE TABLE watermarks (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
-- Turns at a carrier, shared by every process: the moment of the next free one.
CREATE TABLE carrier_turns (
    carrier_account TEXT NOT NULL PRIMARY KEY,
    next_at         INTEGER NOT NULL
) STRICT;
