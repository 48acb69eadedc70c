CREATE TABLE holds (
    id         BLOB NOT NULL PRIMARY KEY,
    channel    TEXT NOT NULL,
    pool_id    INTEGER NOT NULL REFERENCES pools (id),
    quantity   INTEGER NOT NULL CHECK (quantity > 0),
    status     TEXT NOT NULL CHECK (status IN ('active', 'converted', 'released', 'expired')),
    expires_at INTEGER NOT NULL,
    -- The order that it became.
    -- Named before the order is written, in one transaction.
    order_id   BLOB REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK ((status = 'converted') = (order_id IS NOT NULL))
) STRICT;
CREATE INDEX holds_due ON holds (expires_at) WHERE status = 'active';
-- What a channel holds now is counted whenever it asks for more.
CREATE INDEX holds_of_channel ON holds (channel, expires_at) WHERE status = 'active';
CREATE INDEX holds_by_channel ON holds (channel, id);
