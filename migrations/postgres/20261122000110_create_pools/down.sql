DROP TABLE restocks;
DROP TABLE pools;
DROP TABLE wrapped_keys;
