-- The ledger: append-only, one row per fact, written in the transaction that made it true.
CREATE TABLE events (
    id           BLOB NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL,
    subject_kind TEXT NOT NULL CHECK (subject_kind IN ('profile', 'order', 'bundle', 'operation', 'import', 'pool',
        'api_key', 'hold', 'webhook_endpoint', 'reconciliation',
        'line_job', 'rate_plan', 'service_profile', 'feed')),
    subject_id   TEXT NOT NULL,
    -- Counts the events of a subject from 1: the order within a subject.
    version      INTEGER NOT NULL CHECK (version > 0),
    type_name    TEXT NOT NULL,
    data         TEXT NOT NULL,
    UNIQUE (subject_kind, subject_id, version)
) STRICT;

CREATE TRIGGER events_not_updated BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;
CREATE TRIGGER events_not_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;
