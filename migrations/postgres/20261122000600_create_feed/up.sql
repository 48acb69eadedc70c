-- The ledger in one dense order: numbered after commit, never again.
CREATE TABLE feed (
    seq      bigint PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    -- HMAC over the hash before, the number and the event.
    hash     bytea NOT NULL
);
-- One row: where the numbering stands.
CREATE TABLE feed_position (
    id      integer PRIMARY KEY CHECK (id = 1),
    seq     bigint NOT NULL,
    hash    bytea NOT NULL,
    -- PostgreSQL: every transaction below this one is numbered. SQLite numbers as it writes.
    horizon bigint NOT NULL,
    -- PostgreSQL: the cluster whose transaction numbers these are.
    cluster text NOT NULL
);
