-- Keys that encrypt data, each wrapped by the operator's key; key_id names the wrapping key.
CREATE TABLE wrapped_keys (
    id          BLOB NOT NULL PRIMARY KEY,
    purpose     TEXT NOT NULL CHECK (purpose IN ('data', 'index')),
    key_id      TEXT NOT NULL,
    wrapped     BLOB NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
-- One index key for the life of the database: blind indexes cannot be computed again without the codes.
CREATE UNIQUE INDEX wrapped_keys_one_index ON wrapped_keys (purpose) WHERE purpose = 'index';

CREATE TABLE pools (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    pool               TEXT NOT NULL UNIQUE,
    carrier_account    TEXT NOT NULL,
    name               TEXT NOT NULL,
    low_threshold      INTEGER CHECK (low_threshold >= 0),
    critical_threshold INTEGER CHECK (critical_threshold >= 0),
    safety_buffer      INTEGER NOT NULL DEFAULT 0 CHECK (safety_buffer >= 0),
    lead_time_days     INTEGER CHECK (lead_time_days >= 0),
    shelf_life_days    INTEGER CHECK (shelf_life_days > 0),
    -- When its customers' plans are told of: with this little data left, this many days before the end.
    balance_low_percent INTEGER CHECK (balance_low_percent BETWEEN 1 AND 99),
    expiry_warning_days INTEGER CHECK (expiry_warning_days BETWEEN 1 AND 365),
    sellable_statuses  TEXT NOT NULL,
    activation         TEXT,
    -- The last alert: crossing back takes more than crossing did.
    alert_level        TEXT NOT NULL DEFAULT 'ok' CHECK (alert_level IN ('ok', 'low', 'critical')),
    -- Profiles that expire up to this moment have been told of.
    expiring_through   INTEGER,
    version            INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL
) STRICT;

-- What came on sale, numbered per pool in the order of commits: the first profile of each time, in the order in
-- which profiles are sold. Who remembers where the stock began looks here for what lies before that since; old rows go.
CREATE TABLE restocks (
    pool_id    INTEGER NOT NULL REFERENCES pools (id),
    number     INTEGER NOT NULL,
    sell_by    INTEGER NOT NULL,
    batch_no   INTEGER NOT NULL,
    profile_id INTEGER NOT NULL,
    PRIMARY KEY (pool_id, number)
);
