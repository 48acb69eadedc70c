DROP VIEW stock_sold_now;
DROP VIEW stock_now;
DROP VIEW stock_moves_open;
DROP TABLE stock_folds;
DROP TABLE stock_moves;
DROP TABLE stock_sold;
DROP TABLE stock_counts;
