//! The main job from end to end, below HTTP: import, order, carrier, top-up, reveal, verify. The carrier is the twin
//! over real HTTP.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod activation;
mod adoption;
mod by_hand;
mod cancellations;
mod carrier_account;
mod carriers;
mod deliveries;
mod doubtful_evidence;
mod feed;
mod first_sale;
mod fleet;
mod hints;
mod hold_races;
mod holds;
mod import_again;
mod imports;
mod inbound;
mod leases;
mod line_catalogues;
mod line_commands;
mod line_jobs;
mod line_learning;
mod line_matrix;
mod lost_answers;
mod mixed_orders;
mod orders;
mod plans;
mod put_off;
mod reconciliation;
mod refunds;
mod refusals;
mod replacements;
mod resolver;
mod secrecy;
mod stock_alerts;
mod timeline;
mod top_ups;
mod unnamed;
mod verify;
mod verify_feed;
mod verify_tampering;
mod webhook_endpoints;
mod webhook_fairness;
mod webhooks;
