//! Taking one protection away, to show that the checker would notice.
//!
//! Nothing in the product knows of this: a protection is taken away from outside, by a carrier port that lies to the
//! core, by a database that forgets or rewrites, or by a setting. Which way is said with each.

mod liar;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use chrono::TimeDelta;
use diesel::connection::SimpleConnection as _;
use diesel::sqlite::SqliteConnection;
use simdepot_application::depot::WorkSettings;
use simdepot_domain::carrier::Carrier;
use simdepot_domain::webhook::{Courier, Parcel, Reply};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::sim::Carriers;
use liar::Liar;

/// A protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Guard {
    /// A write whose answer was lost is not sent again blindly. *Port.*
    LostIsNotResent,
    /// A write whose answer was lost is not taken for refused. *Port.*
    LostIsNotRefused,
    /// A write whose answer was lost is not taken for done. *Port.*
    LostIsNotDone,
    /// A read that failed is not "nothing there". *Port.*
    FailedReadIsNotNothing,
    /// `sent` is committed before the call. *Database.*
    SentIsKept,
    /// A sold profile leaves the stock, and is in one order. *Database.*
    SoldIsNotOnSale,
    /// A claim looks at every profile that is on sale. *Database.*
    ClaimSeesAll,
    /// An order is fulfilled when the carrier has done it. *Database.*
    FulfilledByOutcome,
    /// A reference is one order for ever. *Database.*
    ReferenceIsUnique,
    /// A profile without proof does not come back on sale. *Database.*
    ReturnNeedsProof,
    /// The ledger tells what happened. *Database.*
    LedgerIsTrue,
    /// A code that was shown is known as shown. *Database.*
    RevealIsKept,
    /// Nobody decides an open outcome while the write may still arrive, and nothing there is believed twice. *Database and
    /// setting.*
    ResolverWaits,
    /// Evidence is new, of the product that was ordered, and nobody else's. *Port and database.*
    EvidenceFits,
    /// A hold that ends gives its profiles back. *Database.*
    HoldGivesBack,
    /// A hold's profiles are nobody else's. *Database.*
    HeldIsNotOnSale,
    /// The feed counts without a gap. *Database.*
    FeedIsDense,
    /// What the carrier has and we did not order is told. *Database.*
    DriftIsTold,
    /// Events are the carrier's own. *Port.*
    EventsAreSigned,
    /// Nothing is believed to be there only after two looks: inventories lag. *Setting.*
    AbsenceIsSeenTwice,
    /// What a person wants sent again waits until the first sending cannot take effect any more. *Database.*
    RetryByHandWaits,
    /// What a person decided is kept as it was said. *Database.*
    DecisionIsKept,
    /// A replaced profile is not sold again. *Database.*
    ReplacedIsNotOnSale,
    /// A webhook counts as delivered when its endpoint took it. *Database.*
    WebhookIsSent,
    /// Events of one profile reach an endpoint one after the other. *Database.*
    WebhooksKeepOrder,
    /// Webhooks are signed. *Port.*
    WebhooksAreSigned,
    /// Every try of a webhook has the same bytes. *Database.*
    WebhookBytesAreKept,
    /// What became of a command is asked under its number before it is sent again. *Port.*
    RepeatIsAskedBefore,
    /// A command that is sent again has the number that it had. *Port.*
    RepeatKeepsItsNumber,
    /// An acknowledgement says that a command was taken up, not that it is done. *Port.*
    AcknowledgedIsNotDone,
    /// A command whose answer was lost is not taken for refused. *Port.*
    LostCommandIsNotRefused,
    /// What a carrier tells that may not be so ends no command. *Port.*
    HearsayProvesNothing,
    /// Of an order that is taken back nothing is sent. *Database.*
    CancelledSendsNothing,
    /// `sent` is committed before a command. *Database.*
    CommandSentIsKept,
}

/// What is the same for each guard that only the port takes away, and for each that it does not.
macro_rules! port {
    () => {
        Self::LostIsNotResent
            | Self::LostIsNotRefused
            | Self::LostIsNotDone
            | Self::FailedReadIsNotNothing
            | Self::EventsAreSigned
            | Self::RepeatIsAskedBefore
            | Self::RepeatKeepsItsNumber
            | Self::AcknowledgedIsNotDone
            | Self::LostCommandIsNotRefused
            | Self::HearsayProvesNothing
    };
}

impl Guard {
    /// The carriers that it is about.
    pub fn carriers(self) -> Carriers {
        match self {
            Self::RepeatIsAskedBefore
            | Self::RepeatKeepsItsNumber
            | Self::AcknowledgedIsNotDone
            | Self::LostCommandIsNotRefused
            | Self::HearsayProvesNothing
            | Self::CancelledSendsNothing
            | Self::CommandSentIsKept => Carriers::Wholesale,
            _ => Carriers::Transatel,
        }
    }

    /// Takes it away in the database of a run.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn tamper(self, raw: &mut SqliteConnection) -> Result<()> {
        let sql = match self {
            port!() | Self::AbsenceIsSeenTwice | Self::WebhooksAreSigned => return Ok(()),
            Self::CancelledSendsNothing => {
                "CREATE TRIGGER broken AFTER UPDATE OF status ON operations \
                 WHEN NEW.status = 'cancelled' AND NEW.lane = 'line' BEGIN \
                 UPDATE operations SET status = 'pending', run_at = 0 WHERE id = NEW.id; END"
            }
            Self::CommandSentIsKept => {
                "CREATE TRIGGER broken AFTER UPDATE OF status ON operations \
                 WHEN NEW.status = 'sent' AND NEW.lane = 'line' AND NEW.attempts = 1 BEGIN \
                 UPDATE operations SET status = 'pending', lease_token = NULL, lease_until = NULL \
                 WHERE id = NEW.id; END"
            }
            Self::ResolverWaits => {
                "CREATE TRIGGER broken AFTER UPDATE OF resolve_after ON operations WHEN NEW.status = 'sent' BEGIN \
                 UPDATE operations SET resolve_after = NEW.sent_at WHERE id = NEW.id; END"
            }
            Self::RetryByHandWaits => {
                "CREATE TRIGGER broken AFTER UPDATE OF status ON operations \
                 WHEN OLD.status IN ('unknown', 'needs_attention') AND NEW.status = 'pending' \
                 AND NEW.evidence IS NOT OLD.evidence BEGIN \
                 UPDATE operations SET run_at = 0 WHERE id = NEW.id; END"
            }
            Self::DecisionIsKept => {
                "CREATE TRIGGER broken AFTER UPDATE OF subscription_id ON bundles \
                 WHEN NEW.subscription_id IS NOT NULL AND EXISTS (SELECT 1 FROM operations x \
                 WHERE x.bundle_id = NEW.id AND json_extract(x.evidence, '$.source') = 'person') BEGIN \
                 UPDATE bundles SET subscription_id = NULL WHERE id = NEW.id; END"
            }
            Self::ReplacedIsNotOnSale => {
                "CREATE TRIGGER broken AFTER INSERT ON events \
                 WHEN NEW.type_name = 'order.profile_replaced' BEGIN \
                 UPDATE profiles SET stock_status = 'available', quarantine_reason = NULL \
                 WHERE iccid = json_extract(NEW.data, '$.out'); END"
            }
            Self::WebhookIsSent => {
                "CREATE TRIGGER broken AFTER INSERT ON webhook_deliveries \
                 WHEN NEW.run_at IS NOT NULL AND NEW.seq % 5 = 0 BEGIN \
                 UPDATE webhook_deliveries SET status = 'delivered', run_at = NULL, finished_at = NEW.created_at \
                 WHERE id = NEW.id; END"
            }
            Self::WebhooksKeepOrder => {
                "CREATE TRIGGER broken AFTER INSERT ON webhook_deliveries WHEN NEW.run_at IS NULL BEGIN \
                 UPDATE webhook_deliveries SET run_at = NEW.created_at WHERE id = NEW.id; END"
            }
            Self::WebhookBytesAreKept => {
                "CREATE TRIGGER broken AFTER UPDATE OF attempts ON webhook_deliveries \
                 WHEN NEW.attempts > OLD.attempts BEGIN \
                 UPDATE webhook_deliveries SET body = CAST(NEW.body || ' ' AS BLOB) WHERE id = NEW.id; END"
            }
            Self::EvidenceFits => "DROP INDEX bundles_subscription",
            Self::FeedIsDense => {
                "CREATE TRIGGER broken AFTER INSERT ON feed WHEN NEW.seq % 7 = 0 BEGIN \
                 DELETE FROM feed WHERE seq = NEW.seq; END"
            }
            Self::DriftIsTold => {
                "CREATE TRIGGER broken AFTER INSERT ON drifts BEGIN DELETE FROM drifts WHERE id = NEW.id; END"
            }
            Self::HoldGivesBack => {
                "CREATE TRIGGER broken AFTER UPDATE OF stock_status ON profiles \
                 WHEN OLD.stock_status = 'held' AND NEW.stock_status = 'available' BEGIN \
                 UPDATE profiles SET stock_status = 'held', hold_id = OLD.hold_id WHERE id = NEW.id; END"
            }
            Self::HeldIsNotOnSale => {
                "CREATE TRIGGER broken AFTER UPDATE OF stock_status ON profiles \
                 WHEN OLD.stock_status = 'available' AND NEW.stock_status = 'held' BEGIN \
                 UPDATE profiles SET stock_status = 'available', hold_id = NULL WHERE id = NEW.id; END"
            }
            Self::SentIsKept => {
                "CREATE TRIGGER broken AFTER UPDATE OF status ON operations WHEN NEW.status = 'sent' BEGIN \
                 UPDATE operations SET status = 'pending', lease_token = NULL, lease_until = NULL \
                 WHERE id = NEW.id; END"
            }
            Self::SoldIsNotOnSale => {
                "DROP INDEX allocations_one_live; \
                 CREATE TRIGGER broken AFTER UPDATE OF stock_status ON profiles \
                 WHEN OLD.stock_status = 'available' AND NEW.stock_status = 'allocated' AND NEW.id % 2 = 0 BEGIN \
                 UPDATE profiles SET stock_status = 'available' WHERE id = NEW.id; END"
            }
            Self::ClaimSeesAll => {
                "CREATE TRIGGER broken AFTER UPDATE OF stock_status ON profiles \
                 WHEN NEW.stock_status = 'allocated' BEGIN \
                 UPDATE profiles SET sell_by = 0 WHERE id = (SELECT MAX(id) FROM profiles \
                 WHERE pool_id = NEW.pool_id AND stock_status = 'available'); END"
            }
            Self::FulfilledByOutcome => {
                "CREATE TRIGGER broken AFTER INSERT ON orders WHEN NEW.status = 'in_progress' BEGIN \
                 UPDATE orders SET status = 'fulfilled' WHERE id = NEW.id; END"
            }
            Self::ReferenceIsUnique => {
                "CREATE TRIGGER broken AFTER INSERT ON orders BEGIN \
                 UPDATE orders SET reference = reference || '#' || hex(NEW.id) WHERE id = NEW.id; END"
            }
            Self::ReturnNeedsProof => {
                "CREATE TRIGGER broken AFTER UPDATE OF stock_status ON profiles \
                 WHEN OLD.stock_status = 'allocated' AND NEW.stock_status = 'quarantined' BEGIN \
                 UPDATE profiles SET stock_status = 'available', quarantine_reason = NULL WHERE id = NEW.id; END"
            }
            Self::LedgerIsTrue => {
                "DROP TRIGGER events_not_updated; \
                 CREATE TRIGGER broken AFTER INSERT ON events \
                 WHEN NEW.type_name = 'order.status_changed' AND NEW.version % 2 = 0 BEGIN \
                 UPDATE events SET data = json_set(data, '$.to', 'cancelled') WHERE id = NEW.id; END"
            }
            Self::RevealIsKept => {
                "CREATE TRIGGER broken AFTER UPDATE OF revealed_at ON profiles \
                 WHEN NEW.revealed_at IS NOT NULL BEGIN \
                 UPDATE profiles SET revealed_at = NULL WHERE id = NEW.id; END"
            }
        };
        Ok(raw.batch_execute(sql)?)
    }

    /// Takes it away between the core and its carrier.
    pub fn wrap(self, carrier: Arc<dyn Carrier>) -> Arc<dyn Carrier> {
        match self {
            port!() | Self::EvidenceFits => Arc::new(Liar::new(carrier, self)),
            Self::SentIsKept
            | Self::SoldIsNotOnSale
            | Self::ClaimSeesAll
            | Self::FulfilledByOutcome
            | Self::ReferenceIsUnique
            | Self::ReturnNeedsProof
            | Self::LedgerIsTrue
            | Self::RevealIsKept
            | Self::ResolverWaits
            | Self::HoldGivesBack
            | Self::HeldIsNotOnSale
            | Self::FeedIsDense
            | Self::DriftIsTold
            | Self::AbsenceIsSeenTwice
            | Self::RetryByHandWaits
            | Self::DecisionIsKept
            | Self::ReplacedIsNotOnSale
            | Self::WebhookIsSent
            | Self::WebhooksKeepOrder
            | Self::WebhooksAreSigned
            | Self::WebhookBytesAreKept
            | Self::CancelledSendsNothing
            | Self::CommandSentIsKept => carrier,
        }
    }

    /// Takes it away between the core and its courier.
    pub fn wrap_courier(self, courier: Arc<dyn Courier>) -> Arc<dyn Courier> {
        match self {
            Self::WebhooksAreSigned => Arc::new(Sloppy(courier)),
            _ => courier,
        }
    }

    fn lies_about_writes(self) -> bool {
        matches!(self, Self::LostIsNotResent | Self::LostIsNotRefused | Self::LostIsNotDone)
    }

    /// Takes it away by a setting.
    pub fn pace(self, pace: &mut WorkSettings) {
        if matches!(self, Self::ResolverWaits | Self::AbsenceIsSeenTwice) {
            pace.absence_gap = TimeDelta::zero();
        }
    }
}

/// A courier that sends with the signature of another try.
struct Sloppy(Arc<dyn Courier>);

#[async_trait]
impl Courier for Sloppy {
    async fn deliver(&self, parcel: &Parcel) -> Reply {
        let timestamp = parcel.timestamp + 1;
        self.0.deliver(&Parcel { timestamp, ..parcel.clone() }).await
    }
}

/// How a guard fared: the first seed that noticed that it was missing, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// Which.
    pub guard: Guard,
    /// After how many seeds.
    pub seeds: u64,
    /// By which rules, and how often.
    pub rules: BTreeMap<&'static str, u64>,
}
