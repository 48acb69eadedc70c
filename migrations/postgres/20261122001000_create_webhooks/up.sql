CREATE TABLE webhook_endpoints (
    id              uuid PRIMARY KEY,
    channel         text NOT NULL,
    url             text NOT NULL,
    description     text,
    -- Event types to send, null for all.
    types           jsonb,
    status          text NOT NULL CHECK (status IN ('enabled', 'disabled')),
    disabled_reason text,
    secret_key_id   uuid NOT NULL REFERENCES wrapped_keys (id),
    secret          bytea NOT NULL,
    -- Signs as well until this moment.
    previous_secret bytea,
    previous_until  timestamptz,
    -- The feed up to here has become deliveries.
    position        bigint NOT NULL,
    -- Tries in a row that failed: a failing endpoint gets one at a time.
    failures        integer NOT NULL DEFAULT 0,
    -- No try before this moment.
    not_before      timestamptz,
    version         bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
);
CREATE INDEX webhook_endpoints_by_channel ON webhook_endpoints (channel, id);

CREATE TABLE webhook_deliveries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    seq         bigint NOT NULL,
    event_id    uuid NOT NULL,
    event_type  text NOT NULL,
    -- Deliveries with the same key go out one after the other.
    order_key   text NOT NULL,
    -- The bytes of every try.
    body        bytea NOT NULL,
    replay      boolean NOT NULL,
    status      text NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts    integer NOT NULL DEFAULT 0,
    -- Null while one before it with the same key is pending.
    run_at      timestamptz,
    lease_token uuid,
    lease_until timestamptz,
    last_status integer,
    last_error  text,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz,
    CHECK ((lease_token IS NULL) = (lease_until IS NULL)),
    CHECK ((finished_at IS NULL) = (status = 'pending'))
);
CREATE INDEX webhook_deliveries_queue ON webhook_deliveries (endpoint_id, run_at, id)
    WHERE status = 'pending' AND run_at IS NOT NULL;
CREATE INDEX webhook_deliveries_leased ON webhook_deliveries (endpoint_id) WHERE lease_token IS NOT NULL;
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (endpoint_id, order_key, id) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;
