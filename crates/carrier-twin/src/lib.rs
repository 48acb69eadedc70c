//! A scriptable twin of the Transatel APIs that accounts of Service Provider Connect ([`TwinConfig::sandbox`]) and of
//! IoT Connect with capped bundles ([`TwinConfig::iot`]) use.
//!
//! [`Twin`] is a pure state machine: it reads no clock, draws no random numbers and opens no socket. A simulation
//! calls [`Twin::handle`] in process; [`shell::serve`] and [`server::TwinServer`] put the same machine behind HTTP
//! for the sandbox, for tests and for the continuous integration of whoever builds on simdepot.
//!
//! What Transatel's public documentation leaves open is an assumption with a number (A1–A16) and a switch in
//! [`assumptions::Assumptions`], so that a client can be run against either reading. [`scripts::Script`] makes calls
//! fail on purpose; writes on lines are [`transactions`] that end later; the device methods of [`Twin`] play a phone's
//! part; its events go to a [`Webhook`], signed, in the carrier's way; `/_twin/…` ([`control`]) does all of this over
//! HTTP.
//!
//! [`sps`] has a twin of another carrier's APIs, SPS. Both are a [`Machine`], which is what the server, the shell and
//! the courier of events are made for.
//!
//! ```
//! use simdepot_carrier_twin::{Twin, TwinConfig, TwinRequest};
//!
//! let mut twin = Twin::new(TwinConfig::sandbox());
//! let lines = twin.add_lines(3);
//! assert!(lines.iter().all(|line| line.iccid.luhn_ok()));
//!
//! let noon = "2026-03-01T12:00:00Z".parse().unwrap();
//! let reply = twin.handle(noon, &TwinRequest::new("GET", "/sim-search/api/sim/search"));
//! assert_eq!(reply.status(), Some(401));
//! ```

pub mod assumptions;
pub mod catalogue;
pub mod clock;
pub mod config;
pub mod control;
mod control_lines;
mod control_view;
mod courier;
pub mod delivery;
pub mod device;
mod esim;
pub mod events;
mod faults;
mod form;
mod gateway;
mod inventory;
pub mod line;
mod line_changes;
pub mod line_operation;
mod line_status;
mod line_write;
pub mod machine;
pub mod options;
mod order_changes;
pub mod orders;
pub mod park;
pub mod products;
mod random;
pub mod reply;
pub mod request;
pub mod requests;
mod schedule;
pub mod scripts;
pub mod server;
pub mod shell;
mod sim_card;
mod sim_search;
pub mod sps;
pub mod state;
mod stock;
pub mod subscriber;
pub mod subscription;
mod swaps;
mod token;
pub mod transactions;
pub mod webhook;

#[cfg(test)]
mod testing;

pub use assumptions::Assumptions;
pub use catalogue::Product;
pub use config::TwinConfig;
pub use line::{Delivered, LineSpec};
pub use line_operation::{LineEvent, LineOperation, Offer, SuspendedBy};
pub use machine::Machine;
pub use orders::RecordedOrder;
pub use reply::TwinReply;
pub use request::TwinRequest;
pub use scripts::{CallName, Fault, Matches, Script};
pub use server::TwinServer;
pub use state::Twin;
pub use transactions::{Transaction, TransactionStatus};
pub use webhook::{Delivery, Webhook};
