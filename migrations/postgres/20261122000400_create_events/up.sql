-- The ledger: append-only, one row per fact, written in the transaction that made it true.
CREATE TABLE events (
    id           uuid PRIMARY KEY,
    at           timestamptz NOT NULL,
    subject_kind text NOT NULL CHECK (subject_kind IN ('profile', 'order', 'bundle', 'operation', 'import', 'pool',
        'api_key', 'hold', 'webhook_endpoint', 'reconciliation',
        'line_job', 'rate_plan', 'service_profile', 'feed')),
    subject_id   text NOT NULL,
    -- Counts the events of a subject from 1: the order within a subject.
    version      bigint NOT NULL CHECK (version > 0),
    type_name    text NOT NULL,
    data         jsonb NOT NULL,
    -- The transaction that wrote it: tells the sequencer which events are surely complete.
    txid         bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    UNIQUE (subject_kind, subject_id, version)
);
CREATE INDEX events_by_txid ON events (txid);

CREATE FUNCTION events_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are append-only';
END $$;
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION events_are_append_only();
