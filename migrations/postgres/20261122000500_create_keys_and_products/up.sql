CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    channel      text NOT NULL,
    scopes       jsonb NOT NULL,
    -- SHA-256 of the key. The key itself is shown once and kept nowhere.
    hash         bytea NOT NULL UNIQUE,
    -- Its first characters, to tell keys apart.
    hint         text NOT NULL,
    version      bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

-- The carriers' catalogues, as they were last read.
CREATE TABLE products (
    carrier_account text NOT NULL,
    product         text NOT NULL,
    data            jsonb NOT NULL,
    fetched_at      timestamptz NOT NULL,
    PRIMARY KEY (carrier_account, product)
);
CREATE TABLE catalogues (
    carrier_account text PRIMARY KEY,
    fetched_at      timestamptz NOT NULL
);
