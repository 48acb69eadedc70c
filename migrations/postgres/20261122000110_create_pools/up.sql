-- Keys that encrypt data, each wrapped by the operator's key; key_id names the wrapping key.
CREATE TABLE wrapped_keys (
    id          uuid PRIMARY KEY,
    purpose     text NOT NULL CHECK (purpose IN ('data', 'index')),
    key_id      text NOT NULL,
    wrapped     bytea NOT NULL,
    created_at  timestamptz NOT NULL
);
-- One index key for the life of the database: blind indexes cannot be computed again without the codes.
CREATE UNIQUE INDEX wrapped_keys_one_index ON wrapped_keys (purpose) WHERE purpose = 'index';

CREATE TABLE pools (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pool               text NOT NULL UNIQUE,
    carrier_account    text NOT NULL,
    name               text NOT NULL,
    low_threshold      bigint CHECK (low_threshold >= 0),
    critical_threshold bigint CHECK (critical_threshold >= 0),
    safety_buffer      bigint NOT NULL DEFAULT 0 CHECK (safety_buffer >= 0),
    lead_time_days     bigint CHECK (lead_time_days >= 0),
    shelf_life_days    bigint CHECK (shelf_life_days > 0),
    -- When its customers' plans are told of: with this little data left, this many days before the end.
    balance_low_percent bigint CHECK (balance_low_percent BETWEEN 1 AND 99),
    expiry_warning_days bigint CHECK (expiry_warning_days BETWEEN 1 AND 365),
    sellable_statuses  jsonb NOT NULL,
    activation         jsonb,
    -- The last alert: crossing back takes more than crossing did.
    alert_level        text NOT NULL DEFAULT 'ok' CHECK (alert_level IN ('ok', 'low', 'critical')),
    -- Profiles that expire up to this moment have been told of.
    expiring_through   timestamptz,
    version            bigint NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL
);

-- What came on sale, numbered per pool in the order of commits: the first profile of each time, in the order in
-- which profiles are sold. Who remembers where the stock began looks here for what lies before that since; old rows go.
CREATE TABLE restocks (
    pool_id    bigint NOT NULL REFERENCES pools (id),
    number     bigint NOT NULL,
    sell_by    timestamptz NOT NULL,
    batch_no   bigint NOT NULL,
    profile_id bigint NOT NULL,
    PRIMARY KEY (pool_id, number)
);
