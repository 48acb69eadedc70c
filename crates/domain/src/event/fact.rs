//! The facts that events tell.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::bundle::{BundleStatus, OrderType};
use crate::channel::{AccountName, ChannelName, PoolName, Scope};
use crate::drift::{DriftKind, DriftStatus};
use crate::esim::EsimStatus;
use crate::hold::HoldStatus;
use crate::iccid::Iccid;
use crate::id::{ApiKeyId, HoldId, OperationId, OrderId};
use crate::import::ImportCounts;
use crate::line::SuspendedBy;
use crate::line_job::LineJobStatus;
use crate::observation::Source;
use crate::operation::OperationStatus;
use crate::order::OrderStatus;
use crate::pool::AlertLevel;
use crate::profile::QuarantineReason;
use crate::sim::SimStatus;
use crate::stock::StockStatus;

/// What may be true of a subject. The serialised form is `{"type": …, "data": …}`; types and fields are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
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
        /// Whose profiles it holds now, when that changed.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        carrier_account: Option<AccountName>,
    },
    /// A pool's stock fell to a threshold, or below it.
    #[serde(rename = "pool.stock_low")]
    #[strum(serialize = "pool.stock_low")]
    PoolStockLow {
        /// Low or critical.
        level: AlertLevel,
        /// How many profiles may be sold.
        available: u64,
        /// The threshold that was crossed.
        threshold: u32,
    },
    /// A pool's stock rose well above its threshold again.
    #[serde(rename = "pool.stock_recovered")]
    #[strum(serialize = "pool.stock_recovered")]
    PoolStockRecovered {
        /// What it is now: enough, or low after having been critical.
        level: AlertLevel,
        /// How many profiles may be sold.
        available: u64,
    },
    /// Profiles of a pool will soon be past their last moment of sale.
    #[serde(rename = "pool.stock_expiring")]
    #[strum(serialize = "pool.stock_expiring")]
    PoolStockExpiring {
        /// How many that were not told of before.
        profiles: u64,
        /// The first of them.
        first: DateTime<Utc>,
        /// The last of them.
        last: DateTime<Utc>,
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
        /// SHA-256 over `iccid SP sell_by LF` of every profile in file order, in hex; `sell_by` in microseconds since
        /// 1970.
        sell_by_digest: String,
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
        /// For or from which hold.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        hold: Option<HoldId>,
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
    /// What the carrier tells of the line beside its status has changed.
    #[serde(rename = "profile.line_changed")]
    #[strum(serialize = "profile.line_changed")]
    LineChanged {
        /// Names of what changed: `suspended_by`, `rate_plan`, `options`, `group`, `external_reference`, and dates.
        fields: Vec<String>,
        /// Who stopped it, while it is stopped.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        suspended_by: Option<SuspendedBy>,
        /// Its rate plan now.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        rate_plan: Option<String>,
        /// Its group now.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        group: Option<String>,
        /// The owner's reference now.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        external_reference: Option<String>,
        /// Who said so.
        source: Source,
    },
    /// The line moved to another SIM: this profile took it over, or gave it away.
    #[serde(rename = "profile.sim_swapped")]
    #[strum(serialize = "profile.sim_swapped")]
    SimSwapped {
        /// The SIM that had the line before.
        out: Iccid,
        /// The SIM that has it now.
        by: Iccid,
        /// By which operation.
        operation: OperationId,
        /// The order that the line belongs to, which goes with it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        order: Option<OrderId>,
    },
    /// The PIN and PUK left simdepot.
    #[serde(rename = "profile.security_codes_revealed")]
    #[strum(serialize = "profile.security_codes_revealed")]
    SecurityCodesRevealed {
        /// To which key; absent for the command line.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        key: Option<ApiKeyId>,
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
        /// Its last moment of sale, when that changed.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        sell_by: Option<SellByMoved>,
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
    /// A sold profile that the customer cannot use was replaced by another, in the same order.
    #[serde(rename = "order.profile_replaced")]
    #[strum(serialize = "order.profile_replaced")]
    ProfileReplaced {
        /// The one that was sold before.
        out: Iccid,
        /// The one in its place.
        by: Iccid,
        /// A person's reason.
        reason: String,
    },
    /// A place of an order that had failed got another profile, by a person's word.
    #[serde(rename = "order.place_refilled")]
    #[strum(serialize = "order.place_refilled")]
    PlaceRefilled {
        /// The one that had failed on it.
        out: Iccid,
        /// The one that is tried now: the same, when it was the next on sale.
        by: Iccid,
        /// A person's reason.
        reason: String,
    },
    /// A person closed an order without what had failed: it is delivered for what it has.
    #[serde(rename = "order.accepted")]
    #[strum(serialize = "order.accepted")]
    OrderAccepted {
        /// How many of its places were given up.
        given_up: u32,
        /// A person's reason.
        reason: String,
    },
    /// Somebody asked to take an order back.
    #[serde(rename = "order.cancel_requested")]
    #[strum(serialize = "order.cancel_requested")]
    OrderCancelRequested {
        /// Why, in the storefront's words.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
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
        /// For which channel.
        channel: ChannelName,
        /// A top-up's reference.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reference: Option<String>,
    },
    /// A bundle that was not ordered here was found on a sold profile and taken into the books.
    #[serde(rename = "bundle.adopted")]
    #[strum(serialize = "bundle.adopted")]
    BundleAdopted {
        /// On which profile.
        iccid: Iccid,
        /// Which product.
        product: String,
        /// Whose profile it is.
        channel: ChannelName,
        /// The carrier's id of it.
        subscription_id: String,
        /// Where it stood.
        status: BundleStatus,
    },
    /// The carrier's id of a bundle became known, which a person had called done without naming it.
    #[serde(rename = "bundle.identified")]
    #[strum(serialize = "bundle.identified")]
    BundleIdentified {
        /// On which profile.
        iccid: Iccid,
        /// The carrier's id of it.
        subscription_id: String,
        /// A person's reason, when a person named it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
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
        /// What it asks of the carrier; absent in events of older versions.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        kind: Option<String>,
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
        /// A person's reason, when a person decided.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
    },
    /// A bundle moved with its line to another SIM.
    #[serde(rename = "bundle.moved")]
    #[strum(serialize = "bundle.moved")]
    BundleMoved {
        /// To which profile.
        iccid: Iccid,
        /// From which.
        out: Iccid,
    },
    /// Little is left of a bundle's data.
    #[serde(rename = "bundle.balance_low")]
    #[strum(serialize = "bundle.balance_low")]
    BundleBalanceLow {
        /// On which profile.
        iccid: Iccid,
        /// How much of it is left, in percent.
        percent_left: u32,
        /// The pool's threshold, in percent.
        threshold: u32,
    },
    /// A bundle ends soon.
    #[serde(rename = "bundle.expires_soon")]
    #[strum(serialize = "bundle.expires_soon")]
    BundleExpiresSoon {
        /// On which profile.
        iccid: Iccid,
        /// When.
        expires_at: DateTime<Utc>,
    },
    /// A command for many lines was taken.
    #[serde(rename = "line_job.created")]
    #[strum(serialize = "line_job.created")]
    LineJobCreated {
        /// What the lines are told.
        operation: String,
        /// How many lines.
        rows: u32,
    },
    /// A line job came to another status.
    #[serde(rename = "line_job.status_changed")]
    #[strum(serialize = "line_job.status_changed")]
    LineJobStatusChanged {
        /// Where it stood.
        from: LineJobStatus,
        /// Where it stands.
        to: LineJobStatus,
    },
    /// An admin wrote down what a rate plan allows.
    #[serde(rename = "rate_plan.options_set")]
    #[strum(serialize = "rate_plan.options_set")]
    RatePlanOptionsSet {
        /// How many options it has.
        options: u32,
    },
    /// An admin wrote a service profile.
    #[serde(rename = "service_profile.set")]
    #[strum(serialize = "service_profile.set")]
    ServiceProfileSet {
        /// Its rate plan.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        rate_plan: Option<String>,
        /// How many options it sets.
        options: u32,
    },
    /// Our books and the carrier's differ about a profile.
    #[serde(rename = "profile.drift_found")]
    #[strum(serialize = "profile.drift_found")]
    DriftFound {
        /// How.
        kind: DriftKind,
        /// About what: a subscription, a status.
        about: String,
    },
    /// They do not differ any more.
    #[serde(rename = "profile.drift_closed")]
    #[strum(serialize = "profile.drift_closed")]
    DriftClosed {
        /// How they differed.
        kind: DriftKind,
        /// About what.
        about: String,
        /// Whether a rule made it right, or it was gone.
        status: DriftStatus,
    },
    /// Profiles were reserved.
    #[serde(rename = "hold.created")]
    #[strum(serialize = "hold.created")]
    HoldCreated {
        /// For which channel.
        channel: ChannelName,
        /// Of which pool.
        pool: PoolName,
        /// How many.
        quantity: u32,
        /// Until when.
        expires_at: DateTime<Utc>,
    },
    /// A hold got another deadline.
    #[serde(rename = "hold.extended")]
    #[strum(serialize = "hold.extended")]
    HoldExtended {
        /// Until when.
        expires_at: DateTime<Utc>,
    },
    /// A hold ended.
    #[serde(rename = "hold.ended")]
    #[strum(serialize = "hold.ended")]
    HoldEnded {
        /// How.
        status: HoldStatus,
        /// The order that it became.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        order: Option<OrderId>,
    },
    /// A webhook endpoint was made.
    #[serde(rename = "webhook_endpoint.created")]
    #[strum(serialize = "webhook_endpoint.created")]
    WebhookEndpointCreated {
        /// For which channel.
        channel: ChannelName,
        /// Keyed hash of the address and the types, in hex: without the key it tells nothing of either.
        fingerprint: String,
    },
    /// A webhook endpoint's settings changed.
    #[serde(rename = "webhook_endpoint.changed")]
    #[strum(serialize = "webhook_endpoint.changed")]
    WebhookEndpointChanged {
        /// Names of the settings that changed.
        settings: Vec<String>,
        /// Keyed hash of the address and the types as they are now, in hex.
        fingerprint: String,
    },
    /// A webhook endpoint has a new secret; the one before signs as well for a while.
    #[serde(rename = "webhook_endpoint.secret_rotated")]
    #[strum(serialize = "webhook_endpoint.secret_rotated")]
    WebhookSecretRotated {},
    /// A webhook endpoint was switched off.
    #[serde(rename = "webhook_endpoint.disabled")]
    #[strum(serialize = "webhook_endpoint.disabled")]
    WebhookEndpointDisabled {
        /// Why.
        reason: String,
    },
    /// A webhook endpoint was removed.
    #[serde(rename = "webhook_endpoint.deleted")]
    #[strum(serialize = "webhook_endpoint.deleted")]
    WebhookEndpointDeleted {},
    /// A comparison with the carriers began.
    #[serde(rename = "reconciliation.started")]
    #[strum(serialize = "reconciliation.started")]
    ReconciliationStarted {},
    /// A comparison with the carriers came to its end.
    #[serde(rename = "reconciliation.completed")]
    #[strum(serialize = "reconciliation.completed")]
    ReconciliationCompleted {
        /// Profiles compared.
        compared: u64,
        /// Profiles that could not be read.
        unread: u64,
        /// Differences found.
        drifts: u64,
        /// Those of them that a rule made right.
        healed: u64,
        /// Lines that were taken into the stock, when that was asked for.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        adopted: Option<u64>,
    },
    /// A comparison with the carriers could not go on.
    #[serde(rename = "reconciliation.failed")]
    #[strum(serialize = "reconciliation.failed")]
    ReconciliationFailed {
        /// Why.
        reason: String,
    },
    /// Where the feed stood: kept outside the database, it proves that nothing before was changed.
    #[serde(rename = "feed.checkpoint")]
    #[strum(serialize = "feed.checkpoint")]
    FeedCheckpoint {
        /// The last number.
        seq: i64,
        /// Its hash, in hex.
        hash: String,
    },
    /// A key was made.
    #[serde(rename = "api_key.created")]
    #[strum(serialize = "api_key.created")]
    ApiKeyCreated {
        /// For which channel.
        channel: ChannelName,
        /// What it may do.
        scopes: Vec<Scope>,
        /// When it stops working.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        expires_at: Option<DateTime<Utc>>,
        /// Keyed hash of the key's hash, in hex: it proves that the row is this key's, and nobody can try keys on it.
        fingerprint: String,
    },
    /// A key was revoked.
    #[serde(rename = "api_key.revoked")]
    #[strum(serialize = "api_key.revoked")]
    ApiKeyRevoked {},
}

/// A last moment of sale that was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SellByMoved {
    /// What it was.
    pub from: DateTime<Utc>,
    /// What it is.
    pub to: DateTime<Utc>,
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
            Fact::PoolChanged { settings: vec!["name".to_owned()], carrier_account: None },
            Fact::ImportUndone { profiles: 3 },
            Fact::CodeReceived {},
            Fact::OrderStatusChanged { from: OrderStatus::InProgress, to: OrderStatus::Fulfilled },
            Fact::ApiKeyRevoked {},
            Fact::StockMoved {
                from: StockStatus::Available,
                to: StockStatus::Quarantined,
                order: None,
                hold: None,
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
