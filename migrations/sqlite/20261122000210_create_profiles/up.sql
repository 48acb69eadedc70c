CREATE TABLE imports (
    id           BLOB NOT NULL UNIQUE,
    batch_no     INTEGER PRIMARY KEY AUTOINCREMENT,
    pool_id      INTEGER NOT NULL REFERENCES pools (id),
    format       TEXT NOT NULL CHECK (format IN ('delivery', 'park')),
    on_error     TEXT NOT NULL CHECK (on_error IN ('all', 'skip')),
    dry_run      INTEGER NOT NULL,
    sell_by      INTEGER,
    file_name    TEXT,
    file_sha256  TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed', 'undone')),
    rows         INTEGER NOT NULL DEFAULT 0,
    accepted     INTEGER NOT NULL DEFAULT 0,
    rejected     INTEGER NOT NULL DEFAULT 0,
    duplicates   INTEGER NOT NULL DEFAULT 0,
    warnings     INTEGER NOT NULL DEFAULT 0,
    -- Rows of a fleet report whose SIM the stock has: something was learned of it, or nothing.
    updated      INTEGER NOT NULL DEFAULT 0,
    unchanged    INTEGER NOT NULL DEFAULT 0,
    problem      TEXT,
    version      INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    CHECK ((finished_at IS NULL) = (status IN ('queued', 'running')))
) STRICT;
-- The same file is in a pool once.
CREATE UNIQUE INDEX imports_one_completed ON imports (pool_id, file_sha256) WHERE status = 'completed' AND NOT dry_run;
CREATE INDEX imports_by_pool ON imports (pool_id, batch_no);

-- What the imports under way show of themselves, every second. Not in their own rows: each profile that lands looks its
-- import up, and would meet all versions of the row since its transaction began.
CREATE TABLE import_signs (
    import_id    BLOB PRIMARY KEY REFERENCES imports (id),
    shown_at     INTEGER NOT NULL,
    rows         INTEGER NOT NULL DEFAULT 0,
    accepted     INTEGER NOT NULL DEFAULT 0,
    rejected     INTEGER NOT NULL DEFAULT 0,
    duplicates   INTEGER NOT NULL DEFAULT 0,
    warnings     INTEGER NOT NULL DEFAULT 0,
    updated      INTEGER NOT NULL DEFAULT 0,
    unchanged    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Rows of an import that were not simply accepted.
CREATE TABLE import_rows (
    import_id   BLOB NOT NULL REFERENCES imports (id),
    position    INTEGER NOT NULL,
    line        INTEGER NOT NULL,
    result      TEXT NOT NULL CHECK (result IN ('rejected', 'duplicate', 'warning')),
    column_name TEXT NOT NULL,
    code        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    iccid       TEXT,
    PRIMARY KEY (import_id, position)
) STRICT;

-- What was refused is shown first, also of a report of a million duplicates.
CREATE INDEX import_rows_rejected ON import_rows (import_id, position) WHERE result = 'rejected';

CREATE TABLE profiles (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    iccid             TEXT NOT NULL UNIQUE,
    -- The first 19 digits: two ICCIDs that share them are the same SIM.
    sim_key           TEXT NOT NULL UNIQUE,
    form_factor       TEXT NOT NULL CHECK (form_factor IN ('esim', 'psim')),
    pool_id           INTEGER NOT NULL REFERENCES pools (id),
    import_id         BLOB NOT NULL REFERENCES imports (id),
    batch_no          INTEGER NOT NULL,
    imported_as       TEXT NOT NULL CHECK (imported_as IN ('available', 'quarantined')),
    stock_status      TEXT NOT NULL CHECK (stock_status IN ('available', 'held', 'allocated', 'quarantined', 'retired')),
    quarantine_reason TEXT CHECK (quarantine_reason IN ('code_missing', 'status_not_sellable', 'line_not_sellable',
        'profile_not_released', 'device_bound', 'unknown_to_carrier', 'refused_by_carrier', 'seen_in_use',
        'returned_unproven', 'in_service', 'manual')),
    sell_by           INTEGER NOT NULL,
    msisdn            TEXT,
    -- Of when its number is, where somebody told it after the delivery.
    msisdn_at         INTEGER,
    eid               TEXT,
    sim_status        TEXT CHECK (sim_status IN ('available', 'loaded', 'preactivated', 'active', 'suspended',
        'test_mode', 'tariff_holiday', 'terminated', 'ceased')),
    sim_observed_at   INTEGER,
    sim_dated         INTEGER,
    sim_received_at   INTEGER,
    sim_source        TEXT CHECK (sim_source IN ('import', 'event', 'read', 'search', 'answer', 'report')),
    esim_status       TEXT CHECK (esim_status IN ('available', 'allocated', 'released', 'downloaded', 'installed',
        'enabled', 'disabled', 'deleted')),
    esim_observed_at  INTEGER,
    esim_dated        INTEGER,
    esim_received_at  INTEGER,
    esim_source       TEXT CHECK (esim_source IN ('import', 'event', 'read', 'search', 'answer', 'report')),
    hold_id           BLOB,
    revealed_at       INTEGER,
    recheck_at        INTEGER,
    tags              TEXT NOT NULL,
    note              TEXT,
    version           INTEGER NOT NULL DEFAULT 0,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    CHECK ((stock_status = 'quarantined') = (quarantine_reason IS NOT NULL)),
    CHECK ((stock_status = 'held') = (hold_id IS NOT NULL)),
    CHECK ((sim_status IS NULL) = (sim_observed_at IS NULL)),
    CHECK ((esim_status IS NULL) = (esim_observed_at IS NULL))
) STRICT;
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
    profile_id      INTEGER PRIMARY KEY REFERENCES profiles (id) ON DELETE CASCADE,
    data_key_id     BLOB NOT NULL REFERENCES wrapped_keys (id),
    activation_code BLOB,
    -- Keyed blind index over SM-DP+ host and matching id: finds a code without knowing it.
    code_index      BLOB UNIQUE,
    pin             BLOB,
    puk             BLOB
) STRICT;
-- Few lack a code: their line gets one with its activation.
CREATE INDEX profile_secrets_without_code ON profile_secrets (profile_id) WHERE activation_code IS NULL;
