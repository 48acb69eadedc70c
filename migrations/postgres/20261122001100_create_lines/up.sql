-- What the carrier tells of a line beside its status and number.
CREATE TABLE lines (
    profile_id         bigint PRIMARY KEY REFERENCES profiles (id) ON DELETE CASCADE,
    suspended_by       text CHECK (suspended_by IN ('customer', 'automatic', 'operator')),
    rate_plan          text,
    options            jsonb,
    line_group         text,
    external_reference text,
    activated_at       timestamptz,
    modified_at        timestamptz,
    contract_ends_at   timestamptz,
    source             text NOT NULL CHECK (source IN ('import', 'event', 'read', 'search', 'answer', 'report')),
    observed_at        timestamptz NOT NULL
);
CREATE INDEX lines_by_group ON lines (line_group, (profile_id + 0)) WHERE line_group IS NOT NULL;
CREATE INDEX lines_by_external_reference ON lines (external_reference, (profile_id + 0)) WHERE external_reference IS NOT NULL;

-- Which SIM took a line over from which: the story of a line is that of all its SIMs.
CREATE TABLE sim_swaps (
    old_profile_id bigint PRIMARY KEY REFERENCES profiles (id),
    new_profile_id bigint NOT NULL UNIQUE REFERENCES profiles (id),
    operation_id   uuid NOT NULL UNIQUE REFERENCES operations (id),
    swapped_at     timestamptz NOT NULL
);

-- SIMs that wait to take a line over: nobody else's while that operation is open.
CREATE TABLE sim_reservations (
    profile_id   bigint PRIMARY KEY REFERENCES profiles (id),
    operation_id uuid NOT NULL UNIQUE REFERENCES operations (id)
);

-- What a rate plan allows, as an admin wrote it down.
CREATE TABLE rate_plans (
    rate_plan  text NOT NULL PRIMARY KEY,
    options    jsonb NOT NULL,
    version    bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- A rate plan with options under a name.
CREATE TABLE service_profiles (
    name        text NOT NULL PRIMARY KEY,
    rate_plan   text,
    options     jsonb NOT NULL,
    description text,
    version     bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);

-- One command for many lines.
CREATE TABLE line_jobs (
    id              uuid NOT NULL PRIMARY KEY,
    channel         text NOT NULL,
    -- Whether the key that made it saw the whole stock, or only what its channel has.
    all_stock       boolean NOT NULL,
    operation       text NOT NULL,
    status          text NOT NULL CHECK (status IN ('running', 'paused', 'completed')),
    total           bigint NOT NULL,
    -- Rows whose operation is open.
    running         bigint NOT NULL DEFAULT 0,
    -- Rows that have their result.
    done            bigint NOT NULL DEFAULT 0,
    refused         bigint NOT NULL DEFAULT 0,
    needs_attention bigint NOT NULL DEFAULT 0,
    -- How far the queue was gone through: what cannot be told yet is passed over, and is looked at in the next round.
    passed          bigint NOT NULL DEFAULT 0,
    -- When a worker looks at it again, and which one has it.
    run_at          timestamptz NOT NULL,
    lease_token     uuid,
    lease_until     timestamptz,
    version         bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    CHECK ((finished_at IS NULL) = (status <> 'completed')),
    CHECK (running >= 0 AND running + done + refused + needs_attention <= total),
    CHECK ((lease_token IS NULL) = (lease_until IS NULL))
);
-- What a person still decides is corrected in a completed job as well.
CREATE INDEX line_jobs_due ON line_jobs (run_at) WHERE status = 'running' OR running > 0 OR needs_attention > 0;
CREATE INDEX line_jobs_by_channel ON line_jobs (channel, id);

CREATE TABLE line_job_rows (
    job_id       uuid NOT NULL REFERENCES line_jobs (id),
    position     bigint NOT NULL,
    iccid        text NOT NULL,
    -- The command in full.
    command      jsonb NOT NULL,
    status       text NOT NULL CHECK (status IN ('queued', 'running', 'done', 'refused', 'needs_attention')),
    operation_id uuid REFERENCES operations (id),
    problem      jsonb,
    PRIMARY KEY (job_id, position)
);
-- A SIM is once in a job.
CREATE UNIQUE INDEX line_job_rows_once ON line_job_rows (job_id, iccid);
CREATE INDEX line_job_rows_queued ON line_job_rows (job_id, position) WHERE status = 'queued';
CREATE INDEX line_job_rows_open ON line_job_rows (job_id, position) WHERE status IN ('running', 'needs_attention');
-- An operation carries out one row.
CREATE UNIQUE INDEX line_job_rows_by_operation ON line_job_rows (operation_id) WHERE operation_id IS NOT NULL;
