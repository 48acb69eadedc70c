CREATE TABLE imports (
    id           uuid PRIMARY KEY,
    batch_no     bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    pool_id      bigint NOT NULL REFERENCES pools (id),
    format       text NOT NULL CHECK (format IN ('delivery', 'park')),
    on_error     text NOT NULL CHECK (on_error IN ('all', 'skip')),
    dry_run      boolean NOT NULL,
    sell_by      timestamptz,
    file_name    text,
    file_sha256  text NOT NULL,
    status       text NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed', 'undone')),
    rows         bigint NOT NULL DEFAULT 0,
    accepted     bigint NOT NULL DEFAULT 0,
    rejected     bigint NOT NULL DEFAULT 0,
    duplicates   bigint NOT NULL DEFAULT 0,
    warnings     bigint NOT NULL DEFAULT 0,
    -- Rows of a fleet report whose SIM the stock has: something was learned of it, or nothing.
    updated      bigint NOT NULL DEFAULT 0,
    unchanged    bigint NOT NULL DEFAULT 0,
    problem      text,
    version      bigint NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    CHECK ((finished_at IS NULL) = (status IN ('queued', 'running')))
);
-- The same file is in a pool once.
CREATE UNIQUE INDEX imports_one_completed ON imports (pool_id, file_sha256) WHERE status = 'completed' AND NOT dry_run;
CREATE INDEX imports_by_pool ON imports (pool_id, batch_no);

-- What the imports under way show of themselves, every second. Not in their own rows: each profile that lands looks its
-- import up, and would meet all versions of the row since its transaction began.
CREATE TABLE import_signs (
    import_id    uuid PRIMARY KEY REFERENCES imports (id),
    shown_at     timestamptz NOT NULL,
    rows         bigint NOT NULL DEFAULT 0,
    accepted     bigint NOT NULL DEFAULT 0,
    rejected     bigint NOT NULL DEFAULT 0,
    duplicates   bigint NOT NULL DEFAULT 0,
    warnings     bigint NOT NULL DEFAULT 0,
    updated      bigint NOT NULL DEFAULT 0,
    unchanged    bigint NOT NULL DEFAULT 0
);

-- Rows of an import that were not simply accepted.
CREATE TABLE import_rows (
    import_id   uuid NOT NULL REFERENCES imports (id),
    position    bigint NOT NULL,
    line        bigint NOT NULL,
    result      text NOT NULL CHECK (result IN ('rejected', 'duplicate', 'warning')),
    column_name text NOT NULL,
    code        text NOT NULL,
    reason      text NOT NULL,
    iccid       text,
    PRIMARY KEY (import_id, position)
);

-- What was refused is shown first, also of a report of a million duplicates.
CREATE INDEX import_rows_rejected ON import_rows (import_id, position) WHERE result = 'rejected';

CREATE TABLE profiles (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    iccid             text NOT NULL UNIQUE,
    -- The first 19 digits: two ICCIDs that share them are the same SIM.
    sim_key           text NOT NULL UNIQUE,
    form_factor       text NOT NULL CHECK (form_factor IN ('esim', 'psim')),
    pool_id           bigint NOT NULL REFERENCES pools (id),
    import_id         uuid NOT NULL REFERENCES imports (id),
    batch_no          bigint NOT NULL,
    imported_as       text NOT NULL CHECK (imported_as IN ('available', 'quarantined')),
    stock_status      text NOT NULL CHECK (stock_status IN ('available', 'held', 'allocated', 'quarantined', 'retired')),
    quarantine_reason text CHECK (quarantine_reason IN ('code_missing', 'status_not_sellable', 'line_not_sellable',
        'profile_not_released', 'device_bound', 'unknown_to_carrier', 'refused_by_carrier', 'seen_in_use',
        'returned_unproven', 'in_service', 'manual')),
    sell_by           timestamptz NOT NULL,
    msisdn            text,
    -- Of when its number is, where somebody told it after the delivery.
    msisdn_at         timestamptz,
    eid               text,
    sim_status        text CHECK (sim_status IN ('available', 'loaded', 'preactivated', 'active', 'suspended',
        'test_mode', 'tariff_holiday', 'terminated', 'ceased')),
    sim_observed_at   timestamptz,
    sim_dated         boolean,
    sim_received_at   timestamptz,
    sim_source        text CHECK (sim_source IN ('import', 'event', 'read', 'search', 'answer', 'report')),
    esim_status       text CHECK (esim_status IN ('available', 'allocated', 'released', 'downloaded', 'installed',
        'enabled', 'disabled', 'deleted')),
    esim_observed_at  timestamptz,
    esim_dated        boolean,
    esim_received_at  timestamptz,
    esim_source       text CHECK (esim_source IN ('import', 'event', 'read', 'search', 'answer', 'report')),
    hold_id           uuid,
    revealed_at       timestamptz,
    recheck_at        timestamptz,
    tags              jsonb NOT NULL,
    note              text,
    version           bigint NOT NULL DEFAULT 0,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK ((stock_status = 'quarantined') = (quarantine_reason IS NOT NULL)),
    CHECK ((stock_status = 'held') = (hold_id IS NOT NULL)),
    CHECK ((sim_status IS NULL) = (sim_observed_at IS NULL)),
    CHECK ((esim_status IS NULL) = (esim_observed_at IS NULL))
) WITH (fillfactor = 90);
-- The claim orders by what only this index holds, so that no plan can walk allocated rows.
CREATE INDEX profiles_claim ON profiles (pool_id, sell_by, batch_no, id) WHERE stock_status = 'available';
-- Searches. Each asks for the order of its index, `id + 0`, which the primary key does not offer: a plan that walks the key
-- until it has found enough is fast until what is searched for lies at its end.
CREATE INDEX profiles_by_stock ON profiles (pool_id, stock_status, (id + 0));
CREATE INDEX profiles_by_import ON profiles (import_id, (id + 0));
CREATE INDEX profiles_by_esim ON profiles (esim_status, (id + 0)) WHERE esim_status IS NOT NULL;
-- Most that is in the stock is preactivated, and a sale must not pay for it.
CREATE INDEX profiles_by_sim ON profiles (sim_status, (id + 0)) WHERE sim_status <> 'preactivated';
CREATE INDEX profiles_by_msisdn ON profiles (msisdn) WHERE msisdn IS NOT NULL;
CREATE INDEX profiles_by_eid ON profiles (eid) WHERE eid IS NOT NULL;
CREATE INDEX profiles_by_hold ON profiles (hold_id) WHERE hold_id IS NOT NULL;
CREATE INDEX profiles_recheck ON profiles (recheck_at) WHERE recheck_at IS NOT NULL;

-- Secrets live apart from what is searched and listed.
CREATE TABLE profile_secrets (
    profile_id      bigint PRIMARY KEY REFERENCES profiles (id) ON DELETE CASCADE,
    data_key_id     uuid NOT NULL REFERENCES wrapped_keys (id),
    activation_code bytea,
    -- Keyed blind index over SM-DP+ host and matching id: finds a code without knowing it.
    code_index      bytea UNIQUE,
    pin             bytea,
    puk             bytea
);
-- Few lack a code: their line gets one with its activation.
CREATE INDEX profile_secrets_without_code ON profile_secrets (profile_id) WHERE activation_code IS NULL;
