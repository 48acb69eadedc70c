DROP TABLE pools;
DROP TABLE wrapped_keys;
