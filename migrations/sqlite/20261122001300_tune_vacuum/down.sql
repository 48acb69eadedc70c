-- SQLite clears up as it writes; the migration is PostgreSQL's.
SELECT 1;
