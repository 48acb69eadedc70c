CREATE TABLE orders (
    id           BLOB NOT NULL PRIMARY KEY,
    channel      TEXT NOT NULL,
    reference    TEXT NOT NULL,
    -- SHA-256 of the lines: tells a repeat from a conflict.
    request_hash BLOB NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('in_progress', 'fulfilled', 'needs_attention', 'failed', 'cancelled')),
    reveal       INTEGER NOT NULL,
    problem      TEXT,
    -- Set while it is being taken back: what is in flight ends first.
    cancelling_since INTEGER,
    -- When a person closed it without what had failed.
    accepted_at INTEGER,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    -- This way round, so that it finds a reference of any channel as well.
    UNIQUE (reference, channel)
) STRICT;
-- Lists: those of all statuses are read side by side. Only this index has the order that they ask for, so that no plan can
-- walk what is not asked for.
CREATE INDEX orders_by_status ON orders (channel, status, created_at, id);
CREATE INDEX orders_cancelling ON orders (cancelling_since) WHERE cancelling_since IS NOT NULL;

-- Lines and allocations are written with their order, in one statement. A foreign key would look every one of them up again;
-- `simdepot verify` does so instead.
CREATE TABLE order_lines (
    order_id           BLOB NOT NULL,
    line_no            INTEGER NOT NULL,
    pool_id            INTEGER NOT NULL REFERENCES pools (id),
    product            TEXT,
    quantity           INTEGER NOT NULL CHECK (quantity > 0),
    carrier_parameters TEXT,
    PRIMARY KEY (order_id, line_no)
) STRICT;

CREATE TABLE allocations (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    profile_id INTEGER NOT NULL REFERENCES profiles (id),
    order_id   BLOB NOT NULL,
    line_no    INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    outcome    TEXT NOT NULL CHECK (outcome IN ('pending', 'fulfilled', 'failed', 'unknown', 'needs_attention',
        'substituted', 'cancelled')),
    created_at INTEGER NOT NULL,
    -- Set when the profile no longer belongs to the order.
    ended_at   INTEGER,
    -- A person has decided about its failure: the place is given up, or another profile took it.
    decided    INTEGER NOT NULL DEFAULT 0
) STRICT;
-- At most one live allocation per profile.
CREATE UNIQUE INDEX allocations_one_live ON allocations (profile_id) WHERE ended_at IS NULL;
CREATE INDEX allocations_by_profile ON allocations (profile_id, id);
CREATE INDEX allocations_by_order ON allocations (order_id, line_no, position);

CREATE TABLE bundles (
    id              BLOB NOT NULL PRIMARY KEY,
    profile_id      INTEGER NOT NULL REFERENCES profiles (id),
    order_id        BLOB REFERENCES orders (id),
    channel         TEXT NOT NULL,
    -- A top-up's own reference; absent when the bundle came with an order.
    reference       TEXT,
    request_hash    BLOB,
    product         TEXT NOT NULL,
    order_type      TEXT CHECK (order_type IN ('preload', 'subscribe')),
    status          TEXT NOT NULL CHECK (status IN ('ordering', 'preloaded', 'ready', 'scheduled', 'active',
        'exhausted', 'expired', 'terminated', 'refused', 'unknown')),
    carrier_account TEXT NOT NULL,
    subscription_id TEXT,
    activated_at    INTEGER,
    expires_at      INTEGER,
    balances        TEXT,
    fetched_at      INTEGER,
    -- When the status was true, by the carrier where it says so; absent while only our own write tells it.
    observed_at     INTEGER,
    -- The period whose low balance, and the end whose approach, have been told of.
    low_told_for    INTEGER,
    expiry_told_for INTEGER,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX bundles_reference ON bundles (channel, reference) WHERE reference IS NOT NULL;
-- A carrier-side subscription is evidence for one bundle only.
CREATE UNIQUE INDEX bundles_subscription ON bundles (carrier_account, subscription_id) WHERE subscription_id IS NOT NULL;
CREATE INDEX bundles_by_profile ON bundles (profile_id, id);
-- Which running plans end soon.
CREATE INDEX bundles_by_expiry ON bundles (expires_at) WHERE status IN ('active', 'exhausted');

CREATE TABLE operations (
    id                BLOB NOT NULL PRIMARY KEY,
    carrier_account   TEXT NOT NULL,
    request           TEXT NOT NULL,
    -- How it is carried out: sales one by one, commands to lines in batches.
    lane              TEXT NOT NULL CHECK (lane IN ('sale', 'line')),
    profile_id        INTEGER NOT NULL REFERENCES profiles (id),
    allocation_id     INTEGER REFERENCES allocations (id),
    order_id          BLOB REFERENCES orders (id),
    bundle_id         BLOB REFERENCES bundles (id),
    status            TEXT NOT NULL CHECK (status IN ('pending', 'sent', 'accepted', 'done', 'refused', 'unknown',
        'needs_attention', 'cancelled')),
    attempts          INTEGER NOT NULL DEFAULT 0,
    deferrals         INTEGER NOT NULL DEFAULT 0,
    -- An answer of it was lost: whatever was decided since, the carrier may still carry that sending out.
    answer_lost       INTEGER NOT NULL DEFAULT 0,
    -- Since when the carrier does not take it.
    waiting_since     INTEGER,
    run_at            INTEGER NOT NULL,
    lease_token       BLOB,
    lease_until       INTEGER,
    order_type        TEXT CHECK (order_type IN ('preload', 'subscribe')),
    -- The type that the carrier found not to fit the line: the other one is tried once.
    refused_type      TEXT CHECK (refused_type IN ('preload', 'subscribe')),
    sent_at           INTEGER,
    -- The first sending: what the carrier has since then may be ours.
    first_sent_at     INTEGER,
    -- Nobody decides an open outcome before this moment.
    resolve_after     INTEGER,
    -- Subscriptions known on the line before the send.
    before_set        TEXT,
    -- What speaks for its having been taken, whatever a list shows: then it is not sent again by itself.
    hints             TEXT,
    -- Personal data that the carrier needs, encrypted; forgotten when the operation ends.
    sealed            BLOB,
    -- How often the carrier was asked for the outcome, and what was seen last.
    reads             INTEGER NOT NULL DEFAULT 0,
    resolution        TEXT,
    evidence          TEXT,
    carrier_reference TEXT,
    problem           TEXT,
    version           INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    CHECK (status NOT IN ('sent', 'accepted', 'unknown') OR (sent_at IS NOT NULL AND resolve_after IS NOT NULL)),
    CHECK ((lease_token IS NULL) = (lease_until IS NULL))
) STRICT;
-- A profile has one carrier write in flight at a time.
CREATE UNIQUE INDEX operations_one_open ON operations (profile_id)
    WHERE status IN ('pending', 'sent', 'accepted', 'unknown', 'needs_attention');
-- By account first: a carrier that is down must not keep another's operations waiting.
CREATE INDEX operations_queue ON operations (lane, carrier_account, run_at, id) WHERE status = 'pending';
CREATE INDEX operations_in_flight ON operations (lane, status, resolve_after) WHERE status IN ('sent', 'accepted', 'unknown');
-- Events name the carrier's transaction.
CREATE INDEX operations_by_reference ON operations (carrier_account, carrier_reference) WHERE lane = 'line' AND carrier_reference IS NOT NULL;
CREATE INDEX operations_by_order ON operations (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX bundles_by_order ON bundles (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX operations_by_bundle ON operations (bundle_id) WHERE bundle_id IS NOT NULL;
CREATE INDEX operations_by_profile ON operations (profile_id, id);
CREATE INDEX operations_by_status ON operations (status, created_at, id);

-- Names what a request with an Idempotency-Key made; the answer is rendered again from it.
CREATE TABLE idempotency_keys (
    channel     TEXT NOT NULL,
    key         TEXT NOT NULL,
    request     TEXT NOT NULL,
    body_hash   BLOB NOT NULL,
    status      INTEGER NOT NULL,
    resource_id TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (channel, key)
) STRICT;
CREATE INDEX idempotency_keys_expired ON idempotency_keys (expires_at);
