DROP TABLE idempotency_keys;
DROP TABLE operations;
DROP TABLE bundles;
DROP TABLE allocations;
DROP TABLE order_lines;
DROP TABLE orders;
