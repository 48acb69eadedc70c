DROP TABLE carrier_turns;
DROP TABLE watermarks;
DROP TABLE profile_checks;
DROP TABLE reconciliations;
DROP TABLE suspicions;
DROP TABLE drifts;
