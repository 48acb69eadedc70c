CREATE TABLE api_keys (
    id           BLOB NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL,
    channel      TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    -- SHA-256 of the key. The key itself is shown once and kept nowhere.
    hash         BLOB NOT NULL UNIQUE,
    -- Its first characters, to tell keys apart.
    hint         TEXT NOT NULL,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;

-- The carriers' catalogues, as they were last read.
CREATE TABLE products (
    carrier_account TEXT NOT NULL,
    product         TEXT NOT NULL,
    data            TEXT NOT NULL,
    fetched_at      INTEGER NOT NULL,
    PRIMARY KEY (carrier_account, product)
) STRICT;
CREATE TABLE catalogues (
    carrier_account TEXT NOT NULL PRIMARY KEY,
    fetched_at      INTEGER NOT NULL
) STRICT;
