-- How many profiles stand where, so that nobody counts them. Who moves profiles writes one row into stock_moves, in the
-- same transaction; a row that all of them change would make every sale of a pool wait for the one before it. A job
-- folds the moves into the counts. What holds now is the sum of both: the views at the end.
CREATE TABLE stock_counts (
    pool_id      bigint NOT NULL REFERENCES pools (id),
    stock_status text NOT NULL CHECK (stock_status IN ('available', 'held', 'allocated', 'quarantined', 'retired')),
    -- The last moment of sale of available profiles; of others it does not matter, and is the epoch.
    sell_by      timestamptz NOT NULL,
    profiles     bigint NOT NULL,
    PRIMARY KEY (pool_id, stock_status, sell_by)
) WITH (fillfactor = 50);

-- How many profiles were handed out on a day (UTC). One that was changed while it was sold is not handed out again.
CREATE TABLE stock_sold (
    pool_id  bigint NOT NULL REFERENCES pools (id),
    day      timestamptz NOT NULL,
    profiles bigint NOT NULL,
    PRIMARY KEY (pool_id, day)
) WITH (fillfactor = 50);

-- Moves that are not folded yet. Where it comes from is null for a profile that is new there, where it goes to for one
-- that is gone.
CREATE TABLE stock_moves (
    txid        bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    pool_id     bigint NOT NULL,
    from_status text,
    to_status   text,
    sell_by     timestamptz NOT NULL,
    day         timestamptz NOT NULL,
    profiles    bigint NOT NULL
);
CREATE INDEX stock_moves_by_txid ON stock_moves (txid);

-- One row: the snapshot of the last folding. Every move that it saw is folded and gone; the others belong to the
-- transactions that were open in it, or to later ones. Looking for those alone costs nothing for the dead rows of the
-- rest, which a long transaction elsewhere keeps from being cleared away.
CREATE TABLE stock_folds (
    id        integer PRIMARY KEY CHECK (id = 1),
    next_txid bigint NOT NULL,
    in_flight bigint[] NOT NULL
) WITH (fillfactor = 10);
INSERT INTO stock_folds VALUES (1, 0, '{}');

CREATE VIEW stock_moves_open AS
    SELECT pool_id, from_status, to_status, sell_by, day, profiles FROM stock_moves
    WHERE txid >= (SELECT next_txid FROM stock_folds)
        OR txid = ANY (ARRAY(SELECT unnest(in_flight) FROM stock_folds));

CREATE VIEW stock_now AS
    SELECT pool_id, stock_status, sell_by, profiles FROM stock_counts
    UNION ALL
    SELECT pool_id, to_status, sell_by, profiles FROM stock_moves_open WHERE to_status IS NOT NULL
    UNION ALL
    SELECT pool_id, from_status, sell_by, -profiles FROM stock_moves_open WHERE from_status IS NOT NULL;

CREATE VIEW stock_sold_now AS
    SELECT pool_id, day, profiles FROM stock_sold
    UNION ALL
    SELECT pool_id, day, profiles FROM stock_moves_open WHERE to_status = 'allocated' AND from_status IS NOT NULL;
