-- What carriers told us, as they told it, until it is applied.
CREATE TABLE carrier_events (
    carrier_account text NOT NULL,
    event_id        text NOT NULL,
    event_type      text NOT NULL,
    status          text NOT NULL CHECK (status IN ('pending', 'applied', 'ignored', 'unmatched', 'unreadable')),
    attempts        integer NOT NULL DEFAULT 0,
    run_at          timestamptz NOT NULL,
    profile_id      bigint REFERENCES profiles (id) ON DELETE SET NULL,
    -- Sealed: a body may carry more than it should.
    body            bytea NOT NULL,
    received_at     timestamptz NOT NULL,
    applied_at      timestamptz,
    PRIMARY KEY (carrier_account, event_id)
);
CREATE INDEX carrier_events_queue ON carrier_events (run_at) WHERE status = 'pending';
CREATE INDEX carrier_events_by_age ON carrier_events (received_at);
-- A profile that goes with its import is looked for here.
CREATE INDEX carrier_events_by_profile ON carrier_events (profile_id) WHERE profile_id IS NOT NULL;
