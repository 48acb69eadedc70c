DROP TABLE claim_heads;
DROP TABLE pools;
DROP TABLE wrapped_keys;
