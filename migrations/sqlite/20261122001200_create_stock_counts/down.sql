DROP VIEW stock_sold_now;
DROP VIEW stock_now;
DROP TABLE stock_sold;
DROP TABLE stock_counts;
