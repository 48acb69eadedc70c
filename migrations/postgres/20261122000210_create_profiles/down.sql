DROP TABLE profile_secrets;
DROP TABLE profiles;
DROP TABLE import_rows;
DROP TABLE import_signs;
DROP TABLE imports;
