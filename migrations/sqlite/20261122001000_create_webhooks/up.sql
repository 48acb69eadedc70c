CREATE TABLE webhook_endpoints (
    id              BLOB NOT NULL PRIMARY KEY,
    channel         TEXT NOT NULL,
    url             TEXT NOT NULL,
    description     TEXT,
    -- Event types to send, null for all.
    types           TEXT,
    status          TEXT NOT NULL CHECK (status IN ('enabled', 'disabled')),
    disabled_reason TEXT,
    secret_key_id   BLOB NOT NULL REFERENCES wrapped_keys (id),
    secret          BLOB NOT NULL,
    -- Signs as well until this moment.
    previous_secret BLOB,
    previous_until  INTEGER,
    -- The feed up to here has become deliveries.
    position        INTEGER NOT NULL,
    -- Tries in a row that failed: a failing endpoint gets one at a time.
    failures        INTEGER NOT NULL DEFAULT 0,
    -- No try before this moment.
    not_before      INTEGER,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
) STRICT;
CREATE INDEX webhook_endpoints_by_channel ON webhook_endpoints (channel, id);

CREATE TABLE webhook_deliveries (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint_id BLOB NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    seq         INTEGER NOT NULL,
    event_id    BLOB NOT NULL,
    event_type  TEXT NOT NULL,
    -- Deliveries with the same key go out one after the other.
    order_key   TEXT NOT NULL,
    -- The bytes of every try.
    body        BLOB NOT NULL,
    replay      INTEGER NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts    INTEGER NOT NULL DEFAULT 0,
    -- Null while one before it with the same key is pending.
    run_at      INTEGER,
    lease_token BLOB,
    lease_until INTEGER,
    last_status INTEGER,
    last_error  TEXT,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    CHECK ((lease_token IS NULL) = (lease_until IS NULL)),
    CHECK ((finished_at IS NULL) = (status = 'pending'))
) STRICT;
CREATE INDEX webhook_deliveries_queue ON webhook_deliveries (endpoint_id, run_at, id)
    WHERE status = 'pending' AND run_at IS NOT NULL;
CREATE INDEX webhook_deliveries_leased ON webhook_deliveries (endpoint_id) WHERE lease_token IS NOT NULL;
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (endpoint_id, order_key, id) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;
