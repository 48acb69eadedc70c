//! Events: the ledger. One fact about one subject, written in the transaction that made it true.
//!
//! Events are append-only and never carry a secret. `version` counts the events of a subject from 1 without a gap,
//! so that the order within a subject does not depend on time or id.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::bundle::{BundleStatus, OrderType};
use crate::channel::{AccountName, ChannelName, PoolName};
use crate::esim::EsimStatus;
use crate::iccid::Iccid;
use crate::id::{ApiKeyId, BundleId, EventId, ImportId, OperationId, OrderId};
use crate::import::ImportCounts;
use crate::observation::Source;
use crate::operation::OperationStatus;
use crate::order::OrderStatus;
use crate::profile::QuarantineReason;
use crate::sim::SimStatus;
use crate::stock::StockStatus;

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

/// What may be true of a subject. The serialised form is `{"type": …, "data": …}`; types and fields are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(tag = "type", content = "data")]
pub enum Fact {
    /// A pool was made.
    #[serde(rename = "pool.created")]
    #[strum(serialize = "pool.created")]
    PoolCreated {
        /// Whose profiles it holds.
        carrier_account: AccountName,
    },
    /// A pool's settings changed.
    #[serde(rename = "pool.changed")]
    #[strum(serialize = "pool.changed")]
    PoolChanged {
        /// Names of the settings that changed.
        settings: Vec<String>,
    },
    /// A delivery became stock. The first state of its profiles follows from this event.
    #[serde(rename = "import.completed")]
    #[strum(serialize = "import.completed")]
    ImportCompleted {
        /// Into which pool.
        pool: PoolName,
        /// SHA-256 of the file, in hex.
        file_sha256: String,
        /// What the file held.
        counts: ImportCounts,
        /// How many profiles came on sale.
        available: u64,
        /// How many were set aside.
        quarantined: u64,
        /// SHA-256 over `iccid SP status LF` of every profile in file order, in hex.
        digest: String,
    },
    /// A delivery was taken back whole: its profiles are gone.
    #[serde(rename = "import.undone")]
    #[strum(serialize = "import.undone")]
    ImportUndone {
        /// How many profiles were removed.
        profiles: u64,
    },
    /// A profile moved in the stock.
    #[serde(rename = "profile.stock_moved")]
    #[strum(serialize = "profile.stock_moved")]
    StockMoved {
        /// Where it stood.
        from: StockStatus,
        /// Where it stands.
        to: StockStatus,
        /// For which order.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        order: Option<OrderId>,
        /// Why it was set aside.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        quarantine: Option<QuarantineReason>,
        /// A person's reason.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
    },
    /// The carrier's record gave the activation code that the delivery lacked.
    #[serde(rename = "profile.code_received")]
    #[strum(serialize = "profile.code_received")]
    CodeReceived {},
    /// The activation code left simdepot.
    #[serde(rename = "profile.code_revealed")]
    #[strum(serialize = "profile.code_revealed")]
    CodeRevealed {
        /// In which order.
        order: OrderId,
        /// To which key; absent for the command line.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        key: Option<ApiKeyId>,
    },
    /// The line was seen in another status.
    #[serde(rename = "profile.sim_status_seen")]
    #[strum(serialize = "profile.sim_status_seen")]
    SimStatusSeen {
        /// The status before.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        from: Option<SimStatus>,
        /// The status now.
        to: SimStatus,
        /// Who said so.
        source: Source,
        /// The carrier's date, or that of its reply.
        observed_at: DateTime<Utc>,
        /// The carrier's documents do not know this move.
        drift: bool,
    },
    /// The eSIM was seen in another status.
    #[serde(rename = "profile.esim_status_seen")]
    #[strum(serialize = "profile.esim_status_seen")]
    EsimStatusSeen {
        /// The status before.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        from: Option<EsimStatus>,
        /// The status now.
        to: EsimStatus,
        /// Who said so.
        source: Source,
        /// The carrier's date, or that of its reply.
        observed_at: DateTime<Utc>,
        /// The carrier's documents do not know this move.
        drift: bool,
    },
    /// The line has another number.
    #[serde(rename = "profile.msisdn_learned")]
    #[strum(serialize = "profile.msisdn_learned")]
    MsisdnLearned {
        /// Who said so.
        source: Source,
    },
    /// A person edited the profile.
    #[serde(rename = "profile.edited")]
    #[strum(serialize = "profile.edited")]
    ProfileEdited {
        /// Names of the fields that changed.
        fields: Vec<String>,
        /// The new pool, when it moved.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pool: Option<PoolName>,
    },
    /// An order was taken.
    #[serde(rename = "order.created")]
    #[strum(serialize = "order.created")]
    OrderCreated {
        /// Of which channel.
        channel: ChannelName,
        /// The storefront's reference.
        reference: String,
        /// How many profiles.
        quantity: u32,
    },
    /// An order came to another status.
    #[serde(rename = "order.status_changed")]
    #[strum(serialize = "order.status_changed")]
    OrderStatusChanged {
        /// Where it stood.
        from: OrderStatus,
        /// Where it stands.
        to: OrderStatus,
    },
    /// A profile of an order was replaced by another.
    #[serde(rename = "order.profile_substituted")]
    #[strum(serialize = "order.profile_substituted")]
    ProfileSubstituted {
        /// The one that could not be sold.
        out: Iccid,
        /// The one in its place; absent when none was left.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: Option<Iccid>,
        /// Why.
        reason: QuarantineReason,
    },
    /// A bundle was ordered for a profile.
    #[serde(rename = "bundle.ordered")]
    #[strum(serialize = "bundle.ordered")]
    BundleOrdered {
        /// On which profile.
        iccid: Iccid,
        /// Which product.
        product: String,
        /// In which order; absent for a top-up.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        order: Option<OrderId>,
    },
    /// A bundle came to another status.
    #[serde(rename = "bundle.status_changed")]
    #[strum(serialize = "bundle.status_changed")]
    BundleStatusChanged {
        /// On which profile.
        iccid: Iccid,
        /// Where it stood.
        from: BundleStatus,
        /// Where it stands.
        to: BundleStatus,
    },
    /// An operation came to another status.
    #[serde(rename = "operation.status_changed")]
    #[strum(serialize = "operation.status_changed")]
    OperationStatusChanged {
        /// On which profile.
        iccid: Iccid,
        /// Where it stood; absent when it was made.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        from: Option<OperationStatus>,
        /// Where it stands.
        to: OperationStatus,
        /// How it was or will be placed.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        order_type: Option<OrderType>,
        /// The carrier's code, or our reason.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        code: Option<String>,
    },
    /// A key was made.
    #[serde(rename = "api_key.created")]
    #[strum(serialize = "api_key.created")]
    ApiKeyCreated {
        /// For which channel.
        channel: ChannelName,
    },
    /// A key was revoked.
    #[serde(rename = "api_key.revoked")]
    #[strum(serialize = "api_key.revoked")]
    ApiKeyRevoked {},
}

impl Fact {
    /// Its type, for example `order.created`.
    pub fn type_name(&self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_name_is_the_serialised_type() {
        let facts = [
            Fact::PoolChanged { settings: vec!["name".to_owned()] },
            Fact::ImportUndone { profiles: 3 },
            Fact::CodeReceived {},
            Fact::OrderStatusChanged { from: OrderStatus::InProgress, to: OrderStatus::Fulfilled },
            Fact::ApiKeyRevoked {},
            Fact::StockMoved {
                from: StockStatus::Available,
                to: StockStatus::Quarantined,
                order: None,
                quarantine: Some(QuarantineReason::Manual),
                reason: Some("returned by post".to_owned()),
            },
        ];
        for fact in facts {
            let json = serde_json::to_value(&fact).unwrap();
            assert_eq!(json["type"], fact.type_name());
            assert_eq!(serde_json::from_value::<Fact>(json).unwrap(), fact);
        }
    }
}
