DROP TABLE line_job_rows;
DROP TABLE line_jobs;
DROP TABLE service_profiles;
DROP TABLE rate_plans;
DROP TABLE sim_reservations;
DROP TABLE sim_swaps;
DROP TABLE lines;
