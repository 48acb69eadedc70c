//! Events: the ledger. One fact about one subject, written in the transaction that made it true.
//!
//! Events are append-only and never carry a secret. `version` counts the events of a subject from 1 without a gap,
//! so that the order within a subject does not depend on time or id.

mod fact;
#[cfg(test)]
mod page;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::channel::PoolName;
use crate::iccid::Iccid;
use crate::id::{
    ApiKeyId, BundleId, EventId, HoldId, ImportId, LineJobId, OperationId, OrderId, ReconciliationId,
    WebhookEndpointId,
};

pub use fact::{Fact, SellByMoved};

/// Kind of thing that an event is about.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SubjectKind {
    /// A profile, by ICCID.
    Profile,
    /// An order.
    Order,
    /// A bundle.
    Bundle,
    /// A carrier operation.
    Operation,
    /// An import.
    Import,
    /// A pool, by name.
    Pool,
    /// An API key.
    ApiKey,
    /// A hold.
    Hold,
    /// A webhook endpoint.
    WebhookEndpoint,
    /// A reconciliation.
    Reconciliation,
    /// A line job.
    LineJob,
    /// A rate plan's options, by its name.
    RatePlan,
    /// A service profile, by its name.
    ServiceProfile,
    /// The feed itself.
    Feed,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A profile.
    Profile(Iccid),
    /// An order.
    Order(OrderId),
    /// A bundle.
    Bundle(BundleId),
    /// A carrier operation.
    Operation(OperationId),
    /// An import.
    Import(ImportId),
    /// A pool.
    Pool(PoolName),
    /// An API key.
    ApiKey(ApiKeyId),
    /// A hold.
    Hold(HoldId),
    /// A webhook endpoint.
    WebhookEndpoint(WebhookEndpointId),
    /// A reconciliation.
    Reconciliation(ReconciliationId),
    /// A line job.
    LineJob(LineJobId),
    /// A rate plan's options.
    RatePlan(String),
    /// A service profile.
    ServiceProfile(String),
    /// The feed itself.
    Feed,
}

impl Subject {
    /// Its kind.
    pub fn kind(&self) -> SubjectKind {
        match self {
            Self::Profile(_) => SubjectKind::Profile,
            Self::Order(_) => SubjectKind::Order,
            Self::Bundle(_) => SubjectKind::Bundle,
            Self::Operation(_) => SubjectKind::Operation,
            Self::Import(_) => SubjectKind::Import,
            Self::Pool(_) => SubjectKind::Pool,
            Self::ApiKey(_) => SubjectKind::ApiKey,
            Self::Hold(_) => SubjectKind::Hold,
            Self::WebhookEndpoint(_) => SubjectKind::WebhookEndpoint,
            Self::Reconciliation(_) => SubjectKind::Reconciliation,
            Self::LineJob(_) => SubjectKind::LineJob,
            Self::RatePlan(_) => SubjectKind::RatePlan,
            Self::ServiceProfile(_) => SubjectKind::ServiceProfile,
            Self::Feed => SubjectKind::Feed,
        }
    }

    /// Its id within the kind.
    pub fn id(&self) -> String {
        match self {
            Self::Profile(iccid) => iccid.to_string(),
            Self::Order(id) => id.to_string(),
            Self::Bundle(id) => id.to_string(),
            Self::Operation(id) => id.to_string(),
            Self::Import(id) => id.to_string(),
            Self::Pool(name) => name.to_string(),
            Self::ApiKey(id) => id.to_string(),
            Self::Hold(id) => id.to_string(),
            Self::WebhookEndpoint(id) => id.to_string(),
            Self::Reconciliation(id) => id.to_string(),
            Self::LineJob(id) => id.to_string(),
            Self::RatePlan(name) | Self::ServiceProfile(name) => name.clone(),
            Self::Feed => "feed".to_owned(),
        }
    }
}

/// One fact, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, also for deduplication by consumers.
    pub id: EventId,
    /// When it became true.
    pub at: DateTime<Utc>,
    /// What it is about.
    pub subject: Subject,
    /// How many events the subject has had with this one.
    pub version: i64,
    /// The fact.
    pub fact: Fact,
}
