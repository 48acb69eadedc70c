-- The ledger in one dense order: numbered after commit, never again.
CREATE TABLE feed (
    seq      INTEGER PRIMARY KEY,
    event_id BLOB NOT NULL UNIQUE,
    -- HMAC over the hash before, the number and the event.
    hash     BLOB NOT NULL
) STRICT;
-- One row: where the numbering stands.
CREATE TABLE feed_position (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    seq     INTEGER NOT NULL,
    hash    BLOB NOT NULL,
    -- PostgreSQL: every transaction below this one is numbered. SQLite numbers as it writes.
    horizon INTEGER NOT NULL,
    -- PostgreSQL: the cluster whose transaction numbers these are.
    cluster TEXT NOT NULL
) STRICT;
