//! The benchmark: simdepot's order path against PostgreSQL's own limit and against peers that do the same job, measured in
//! one run, interleaved. docs/PERFORMANCE.md says what is compared and how; only ratios are results.

pub mod cluster;
pub mod compare;
pub mod contender;
pub mod curl;
pub mod depot;
pub mod echo;
pub mod goals;
pub mod guards;
pub mod load;
pub mod options;
pub mod peers;
pub mod pgbench;
pub mod plan;
pub mod plot;
pub mod process;
pub mod radius;
pub mod report;
pub mod sample;
pub mod scenarios;
pub mod setting;
pub mod shop;
pub mod stock;
pub mod tools;
