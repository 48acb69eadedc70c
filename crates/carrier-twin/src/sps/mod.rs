//! A scriptable twin of the SPS APIs (Subscriptions, Subscription Device Management), built like the Transatel twin:
//! [`SpsTwin`] is a pure state machine, and [`crate::shell`] and [`crate::TwinServer`] put it behind HTTP.
//!
//! Most of what surrounds the SPS messages is not published: routes of the writes, the token call, error bodies,
//! statuses of transactions, notifications. Each such point is an assumption with a number (S1–S18) and a switch in
//! [`SpsAssumptions`], or a setting of [`SpsConfig`]; none of them is the operator's contract.
//!
//! A write is acknowledged at once and carried out later: [`SpsTransaction`] goes from accepted over in progress to
//! completed or failed, and its effect is applied exactly once, at its completion. What the twin saw and did can be
//! asked for: [`SpsTwin::received`], [`SpsTwin::effects`], [`SpsTwin::subscription_of_iccid`]. The world around it is
//! played with [`SpsTwin::operator_suspend`], [`SpsTwin::set_device`], [`SpsTwin::add_sims`] and the like.
//!
//! A simulation drives it without HTTP, as it does the other twin: [`SpsTwin::handle`] takes a request at a time of
//! the caller's, [`SpsTwin::next_due`] tells when something happens next, [`SpsTwin::next_delivery`] hands out the
//! notifications that are due and [`SpsTwin::delivery_ended`] takes what the receiver answered.
//!
//! ```
//! use serde_json::json;
//! use simdepot_carrier_twin::TwinRequest;
//! use simdepot_carrier_twin::sps::{Effect, SpsConfig, SpsTwin};
//!
//! let mut twin = SpsTwin::new(SpsConfig::sandbox());
//! let sims = twin.add_sims(2);
//! assert!(sims.iter().all(|sim| sim.iccid.luhn_ok() && sim.activation_code.is_some()));
//!
//! let noon = "2026-03-01T12:00:00Z".parse().unwrap();
//! let mut ask = TwinRequest::new("POST", "/oauth/token")
//!     .with_header("content-type", "application/x-www-form-urlencoded");
//! ask.body = b"grant_type=client_credentials&client_id=sandbox&client_secret=sandbox-secret".to_vec();
//! let answer = twin.handle(noon, &ask).json().unwrap();
//! let token = answer["access_token"].as_str().unwrap();
//!
//! let activate = TwinRequest::new("POST", "/activate").with_bearer(token).with_json(&json!({
//!     "partnerTransactionId": "op_1", "subscriberId": "Sub001", "wholesalePlanId": "Plan001", "location": {},
//!     "iccid": sims[0].iccid,
//! }));
//! assert_eq!(twin.handle(noon, &activate).json().unwrap()["status"], "Success");
//! let iccid = sims[0].iccid.as_str();
//! assert!(twin.subscription_of_iccid(iccid).is_none(), "acknowledged, not done");
//!
//! let ends = twin.next_due().into_iter().chain([noon + std::time::Duration::from_secs(2)]).max().unwrap();
//! twin.settle(ends);
//! assert_eq!(twin.effects(iccid, Effect::Activate), 1);
//! assert_eq!(twin.events()[0].transaction_id.as_deref(), Some("op_1"));
//! ```

mod activation;
pub mod assumptions;
mod block_list;
mod change;
pub mod config;
mod control;
mod control_view;
pub mod delivery;
mod details;
pub mod devices;
mod fields;
mod gateway;
pub mod notifications;
mod outcome;
pub mod records;
pub mod sims;
pub mod state;
mod status;
pub mod subscriptions;
#[cfg(test)]
mod testing;
mod token;
pub mod transactions;
mod world;
pub mod writes;

pub use assumptions::{GpsiForm, Reading, SpsAssumptions, StateCheck, TransactionProfile};
pub use config::{SpsConfig, SpsRoute, WebhookAuth};
pub use delivery::sps_delivery_file;
pub use devices::DeviceModel;
pub use notifications::SpsEvent;
pub use records::{Effect, ReceivedWrite};
pub use sims::{NewSim, Sim, SimSpec, SimState};
pub use state::SpsTwin;
pub use subscriptions::{SpsSubscription, SubscriptionStatus};
pub use transactions::{SpsTransaction, SpsTransactionStatus};
pub use world::WorldError;
pub use writes::{Activation, Change, ChangeType, LineKey, SpsWrite, StatusAction};
