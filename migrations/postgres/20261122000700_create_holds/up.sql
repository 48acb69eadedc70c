CREATE TABLE holds (
    id         uuid PRIMARY KEY,
    channel    text NOT NULL,
    pool_id    bigint NOT NULL REFERENCES pools (id),
    quantity   bigint NOT NULL CHECK (quantity > 0),
    status     text NOT NULL CHECK (status IN ('active', 'converted', 'released', 'expired')),
    expires_at timestamptz NOT NULL,
    -- The order that it became.
    -- Named before the order is written, in one transaction.
    order_id   uuid REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED,
    version    bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((status = 'converted') = (order_id IS NOT NULL))
);
CREATE INDEX holds_due ON holds (expires_at) WHERE status = 'active';
-- What a channel holds now is counted whenever it asks for more.
CREATE INDEX holds_of_channel ON holds (channel, expires_at) WHERE status = 'active';
CREATE INDEX holds_by_channel ON holds (channel, id);
