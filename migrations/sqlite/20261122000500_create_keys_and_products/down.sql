DROP TABLE catalogues;
DROP TABLE products;
DROP TABLE api_keys;
