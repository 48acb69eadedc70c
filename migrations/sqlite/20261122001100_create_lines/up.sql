-- What the carrier tells of a line beside its status and number.
CREATE TABLE lines (
    profile_id         INTEGER PRIMARY KEY REFERENCES profiles (id) ON DELETE CASCADE,
    suspended_by       TEXT CHECK (suspended_by IN ('customer', 'automatic', 'operator')),
    rate_plan          TEXT,
    options            TEXT,
    line_group         TEXT,
    external_reference TEXT,
    activated_at       INTEGER,
    modified_at        INTEGER,
    contract_ends_at   INTEGER,
    source             TEXT NOT NULL CHECK (source IN ('import', 'event', 'read', 'search', 'answer', 'report')),
    observed_at        INTEGER NOT NULL
) STRICT;
CREATE INDEX lines_by_group ON lines (line_group, (profile_id + 0)) WHERE line_group IS NOT NULL;
CREATE INDEX lines_by_external_reference ON lines (external_reference, (profile_id + 0)) WHERE external_reference IS NOT NULL;

-- Which SIM took a line over from which: the story of a line is that of all its SIMs.
CREATE TABLE sim_swaps (
    old_profile_id INTEGER PRIMARY KEY REFERENCES profiles (id),
    new_profile_id INTEGER NOT NULL UNIQUE REFERENCES profiles (id),
    operation_id   BLOB NOT NULL UNIQUE REFERENCES operations (id),
    swapped_at     INTEGER NOT NULL
) STRICT;

-- SIMs that wait to take a line over: nobody else's while that operation is open.
CREATE TABLE sim_reservations (
    profile_id   INTEGER PRIMARY KEY REFERENCES profiles (id),
    operation_id BLOB NOT NULL UNIQUE REFERENCES operations (id)
) STRICT;

-- What a rate plan allows, as an admin wrote it down.
CREATE TABLE rate_plans (
    rate_plan  TEXT NOT NULL PRIMARY KEY,
    options    TEXT NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- A rate plan with options under a name.
CREATE TABLE service_profiles (
    name        TEXT NOT NULL PRIMARY KEY,
    rate_plan   TEXT,
    options     TEXT NOT NULL,
    description TEXT,
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

-- One command for many lines.
CREATE TABLE line_jobs (
    id              BLOB NOT NULL PRIMARY KEY,
    channel         TEXT NOT NULL,
    -- Whether the key that made it saw the whole stock, or only what its channel has.
    all_stock       INTEGER NOT NULL,
    operation       TEXT NOT NULL,
    status          TEXT NOT NULL CHECK (status IN ('running', 'paused', 'completed')),
    total           INTEGER NOT NULL,
    -- Rows whose operation is open.
    running         INTEGER NOT NULL DEFAULT 0,
    -- Rows that have their result.
    done            INTEGER NOT NULL DEFAULT 0,
    refused         INTEGER NOT NULL DEFAULT 0,
    needs_attention INTEGER NOT NULL DEFAULT 0,
    -- How far the queue was gone through: what cannot be told yet is passed over, and is looked at in the next round.
    passed          INTEGER NOT NULL DEFAULT 0,
    -- When a worker looks at it again, and which one has it.
    run_at          INTEGER NOT NULL,
    lease_token     BLOB,
    lease_until     INTEGER,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    CHECK ((finished_at IS NULL) = (status <> 'completed')),
    CHECK (running >= 0 AND running + done + refused + needs_attention <= total),
    CHECK ((lease_token IS NULL) = (lease_until IS NULL))
) STRICT;
-- What a person still decides is corrected in a completed job as well.
CREATE INDEX line_jobs_due ON line_jobs (run_at) WHERE status = 'running' OR running > 0 OR needs_attention > 0;
CREATE INDEX line_jobs_by_channel ON line_jobs (channel, id);

CREATE TABLE line_job_rows (
    job_id       BLOB NOT NULL REFERENCES line_jobs (id),
    position     INTEGER NOT NULL,
    iccid        TEXT NOT NULL,
    -- The command in full.
    command      TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'refused', 'needs_attention')),
    operation_id BLOB REFERENCES operations (id),
    problem      TEXT,
    PRIMARY KEY (job_id, position)
) STRICT;
-- A SIM is once in a job.
CREATE UNIQUE INDEX line_job_rows_once ON line_job_rows (job_id, iccid);
CREATE INDEX line_job_rows_queued ON line_job_rows (job_id, position) WHERE status = 'queued';
CREATE INDEX line_job_rows_open ON line_job_rows (job_id, position) WHERE status IN ('running', 'needs_attention');
-- An operation carries out one row.
CREATE UNIQUE INDEX line_job_rows_by_operation ON line_job_rows (operation_id) WHERE operation_id IS NOT NULL;
