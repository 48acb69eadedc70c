DROP TABLE feed_position;
DROP TABLE feed;
