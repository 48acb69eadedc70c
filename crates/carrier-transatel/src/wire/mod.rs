//! What goes over the wire, without sending it: requests as values, answers as status and bytes.
//!
//! Field names and shapes follow Transatel's OCS, SIM management, connectivity management and SIM Search
//! documentation. Fields that are not named here are ignored, since Transatel adds some without notice; optional
//! ones of an unexpected type count as absent. What an answer is asked for must be there, or the read has failed.

pub(crate) mod catalogue;
pub(crate) mod command;
pub(crate) mod country;
pub(crate) mod details;
pub(crate) mod esim;
pub(crate) mod event;
pub(crate) mod inventory;
pub(crate) mod lenient;
pub(crate) mod order;
pub(crate) mod problem;
pub(crate) mod rights;
pub(crate) mod sim_card;
pub(crate) mod sim_search;
pub(crate) mod subscriber;
pub(crate) mod transaction;
pub(crate) mod usage;

pub(crate) use simdepot_carrier_http::{Answer, Method, Request, segment, unreadable};

/// What a request is for; labels metrics and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Catalogue,
    Order,
    Inventory,
    Esim,
    SimSearch,
    Fleet,
    Subscriber,
    LineCommand,
    BundleChange,
    Transaction,
    SimCard,
    Usage,
    Rights,
}

impl From<Call> for &'static str {
    /// The metric label.
    fn from(call: Call) -> Self {
        match call {
            Call::Catalogue => "catalogue",
            Call::Order => "order",
            Call::Inventory => "inventory",
            Call::Esim => "esim",
            Call::SimSearch => "sim_search",
            Call::Fleet => "fleet",
            Call::Subscriber => "subscriber",
            Call::LineCommand => "line_command",
            Call::BundleChange => "bundle_change",
            Call::Transaction => "transaction",
            Call::SimCard => "sim_card",
            Call::Usage => "usage",
            Call::Rights => "rights",
        }
    }
}
