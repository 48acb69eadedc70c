CREATE TABLE orders (
    id           uuid PRIMARY KEY,
    channel      text NOT NULL,
    reference    text NOT NULL,
    -- SHA-256 of the lines: tells a repeat from a conflict.
    request_hash bytea NOT NULL,
    status       text NOT NULL CHECK (status IN ('in_progress', 'fulfilled', 'needs_attention', 'failed', 'cancelled')),
    reveal       boolean NOT NULL,
    problem      jsonb,
    -- Set while it is being taken back: what is in flight ends first.
    cancelling_since timestamptz,
    -- When a person closed it without what had failed.
    accepted_at timestamptz,
    version      bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    -- This way round, so that it finds a reference of any channel as well.
    UNIQUE (reference, channel)
);
-- Lists: those of all statuses are read side by side. Only this index has the order that they ask for, so that no plan can
-- walk what is not asked for.
CREATE INDEX orders_by_status ON orders (channel, status, created_at, id);
CREATE INDEX orders_cancelling ON orders (cancelling_since) WHERE cancelling_since IS NOT NULL;

-- Lines and allocations are written with their order, in one statement. A foreign key would look every one of them up again;
-- `simdepot verify` does so instead.
CREATE TABLE order_lines (
    order_id           uuid NOT NULL,
    line_no            integer NOT NULL,
    pool_id            bigint NOT NULL REFERENCES pools (id),
    product            text,
    quantity           bigint NOT NULL CHECK (quantity > 0),
    carrier_parameters jsonb,
    PRIMARY KEY (order_id, line_no)
);

CREATE TABLE allocations (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    profile_id bigint NOT NULL REFERENCES profiles (id),
    order_id   uuid NOT NULL,
    line_no    integer NOT NULL,
    position   integer NOT NULL,
    outcome    text NOT NULL CHECK (outcome IN ('pending', 'fulfilled', 'failed', 'unknown', 'needs_attention',
        'substituted', 'cancelled')),
    created_at timestamptz NOT NULL,
    -- Set when the profile no longer belongs to the order.
    ended_at   timestamptz,
    -- A person has decided about its failure: the place is given up, or another profile took it.
    decided    boolean NOT NULL DEFAULT FALSE
);
-- At most one live allocation per profile.
CREATE UNIQUE INDEX allocations_one_live ON allocations (profile_id) WHERE ended_at IS NULL;
CREATE INDEX allocations_by_profile ON allocations (profile_id, id);
CREATE INDEX allocations_by_order ON allocations (order_id, line_no, position);

CREATE TABLE bundles (
    id              uuid PRIMARY KEY,
    profile_id      bigint NOT NULL REFERENCES profiles (id),
    order_id        uuid REFERENCES orders (id),
    channel         text NOT NULL,
    -- A top-up's own reference; absent when the bundle came with an order.
    reference       text,
    request_hash    bytea,
    product         text NOT NULL,
    order_type      text CHECK (order_type IN ('preload', 'subscribe')),
    status          text NOT NULL CHECK (status IN ('ordering', 'preloaded', 'ready', 'scheduled', 'active',
        'exhausted', 'expired', 'terminated', 'refused', 'unknown')),
    carrier_account text NOT NULL,
    subscription_id text,
    activated_at    timestamptz,
    expires_at      timestamptz,
    balances        jsonb,
    fetched_at      timestamptz,
    -- When the status was true, by the carrier where it says so; absent while only our own write tells it.
    observed_at     timestamptz,
    -- The period whose low balance, and the end whose approach, have been told of.
    low_told_for    timestamptz,
    expiry_told_for timestamptz,
    version         bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE UNIQUE INDEX bundles_reference ON bundles (channel, reference) WHERE reference IS NOT NULL;
-- A carrier-side subscription is evidence for one bundle only.
CREATE UNIQUE INDEX bundles_subscription ON bundles (carrier_account, subscription_id) WHERE subscription_id IS NOT NULL;
CREATE INDEX bundles_by_profile ON bundles (profile_id, id);
-- Which running plans end soon.
CREATE INDEX bundles_by_expiry ON bundles (expires_at) WHERE status IN ('active', 'exhausted');

CREATE TABLE operations (
    id                uuid PRIMARY KEY,
    carrier_account   text NOT NULL,
    request           jsonb NOT NULL,
    -- How it is carried out: sales one by one, commands to lines in batches.
    lane              text NOT NULL CHECK (lane IN ('sale', 'line')),
    profile_id        bigint NOT NULL REFERENCES profiles (id),
    allocation_id     bigint REFERENCES allocations (id),
    order_id          uuid REFERENCES orders (id),
    bundle_id         uuid REFERENCES bundles (id),
    status            text NOT NULL CHECK (status IN ('pending', 'sent', 'accepted', 'done', 'refused', 'unknown',
        'needs_attention', 'cancelled')),
    attempts          integer NOT NULL DEFAULT 0,
    deferrals         integer NOT NULL DEFAULT 0,
    -- An answer of it was lost: whatever was decided since, the carrier may still carry that sending out.
    answer_lost       boolean NOT NULL DEFAULT false,
    -- Since when the carrier does not take it.
    waiting_since     timestamptz,
    run_at            timestamptz NOT NULL,
    lease_token       uuid,
    lease_until       timestamptz,
    order_type        text CHECK (order_type IN ('preload', 'subscribe')),
    -- The type that the carrier found not to fit the line: the other one is tried once.
    refused_type      text CHECK (refused_type IN ('preload', 'subscribe')),
    sent_at           timestamptz,
    -- The first sending: what the carrier has since then may be ours.
    first_sent_at     timestamptz,
    -- Nobody decides an open outcome before this moment.
    resolve_after     timestamptz,
    -- Subscriptions known on the line before the send.
    before_set        jsonb,
    -- What speaks for its having been taken, whatever a list shows: then it is not sent again by itself.
    hints             jsonb,
    -- Personal data that the carrier needs, encrypted; forgotten when the operation ends.
    sealed            bytea,
    -- How often the carrier was asked for the outcome, and what was seen last.
    reads             integer NOT NULL DEFAULT 0,
    resolution        jsonb,
    evidence          jsonb,
    carrier_reference text,
    problem           jsonb,
    version           bigint NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK (status NOT IN ('sent', 'accepted', 'unknown') OR (sent_at IS NOT NULL AND resolve_after IS NOT NULL)),
    CHECK ((lease_token IS NULL) = (lease_until IS NULL))
);
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
    channel     text NOT NULL,
    key         text NOT NULL,
    request     text NOT NULL,
    body_hash   bytea NOT NULL,
    status      integer NOT NULL,
    resource_id text NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (channel, key)
);
CREATE INDEX idempotency_keys_expired ON idempotency_keys (expires_at);
