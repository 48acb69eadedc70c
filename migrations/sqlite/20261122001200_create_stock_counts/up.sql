-- How many profiles stand where, so that nobody counts them. Changed in the transaction that moves the profiles: there is
-- one writer.
CREATE TABLE stock_counts (
    pool_id      INTEGER NOT NULL REFERENCES pools (id),
    stock_status TEXT NOT NULL CHECK (stock_status IN ('available', 'held', 'allocated', 'quarantined', 'retired')),
    -- The last moment of sale of available profiles; of others it does not matter, and is the epoch.
    sell_by      INTEGER NOT NULL,
    profiles     INTEGER NOT NULL,
    PRIMARY KEY (pool_id, stock_status, sell_by)
) STRICT, WITHOUT ROWID;

-- How many profiles were handed out on a day (UTC). One that was changed while it was sold is not handed out again.
CREATE TABLE stock_sold (
    pool_id  INTEGER NOT NULL REFERENCES pools (id),
    day      INTEGER NOT NULL,
    profiles INTEGER NOT NULL,
    PRIMARY KEY (pool_id, day)
) STRICT, WITHOUT ROWID;

-- What holds now. On PostgreSQL they are more than the tables.
CREATE VIEW stock_now AS SELECT pool_id, stock_status, sell_by, profiles FROM stock_counts;
CREATE VIEW stock_sold_now AS SELECT pool_id, day, profiles FROM stock_sold;
