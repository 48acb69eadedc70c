//! What is left when a run is over: plain data, so that a test can write it down.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::Micros;

/// The database and the carrier at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndState {
    /// Pools.
    pub pools: Vec<Pool>,
    /// Profiles.
    pub profiles: Vec<Profile>,
    /// Moves in the stock, in the order in which they were written.
    pub moves: Vec<Move>,
    /// Orders.
    pub orders: Vec<Order>,
    /// Their lines.
    pub lines: Vec<Line>,
    /// Profiles in orders, oldest first.
    pub allocations: Vec<Allocation>,
    /// Bundles.
    pub bundles: Vec<Bundle>,
    /// Operations.
    pub operations: Vec<Operation>,
    /// Holds.
    pub holds: Vec<Hold>,
    /// Differences that were found.
    pub drifts: Vec<Drift>,
    /// Numbers of the feed, in order.
    pub feed: Vec<i64>,
    /// How many events there are.
    pub events: i64,
    /// Whether somebody compares our books with the carrier's.
    pub watched: bool,
    /// Events that were kept and are not the carrier's.
    pub forged_events: i64,
    /// Profiles that were replaced, by the ledger.
    pub replacements: Vec<Replacement>,
    /// Webhook endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The feed, where there are endpoints to be told of it.
    pub told: Vec<Told>,
    /// What `simdepot verify` finds.
    pub verify: Vec<String>,
    /// The carrier's lines.
    pub carrier: Vec<CarrierLine>,
    /// What went wrong with each operation's writes, and whether it lost the answer.
    pub troubles: BTreeMap<String, Vec<(&'static str, bool)>>,
    /// Operations whose process died or was too slow while their write was under way.
    pub interrupted: BTreeSet<String>,
    /// Commands with a write that took effect very late: by our number, or by SIM where the carrier has none.
    pub late: BTreeSet<String>,
    /// What the carriers took up as commands to lines, and as activations.
    pub commands: Vec<CarrierCommand>,
    /// Every SIM of the carrier that activates subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Everything that arrived under each number of ours: more than one text is more than one command.
    pub numbers: BTreeMap<String, BTreeSet<String>>,
    /// How the lines of the other carrier stand.
    pub statuses: BTreeMap<String, String>,
}

/// A pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub pool: String,
    /// How many orders must leave.
    pub safety_buffer: i64,
}

/// A profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Which SIM.
    pub iccid: String,
    /// Its pool.
    pub pool: String,
    /// Where it stands.
    pub stock_status: String,
    /// Where it stood at first.
    pub imported_as: String,
    /// Its hold.
    pub hold: Option<String>,
    /// Whether its code was shown, by the database.
    pub revealed: bool,
    /// Whether its number is known, by which its line can be asked for.
    pub numbered: bool,
}

/// A move in the stock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Move {
    /// Which profile.
    pub iccid: String,
    /// From where.
    pub from: String,
    /// To where.
    pub to: String,
    /// For which order.
    pub order: Option<String>,
    /// When, by the machine's clock.
    pub at: Micros,
}

/// An order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// Whose.
    pub channel: String,
    /// Its reference.
    pub reference: String,
    /// Where it stands.
    pub status: String,
    /// Whether it is being taken back.
    pub cancelling: bool,
}

/// A line of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// Of which order.
    pub order: String,
    /// Its number.
    pub line: i64,
    /// From which pool.
    pub pool: String,
    /// Which product.
    pub product: Option<String>,
    /// How many.
    pub quantity: i64,
}

/// A profile in an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocation {
    /// Which order.
    pub order: String,
    /// Which profile.
    pub iccid: String,
    /// In which line.
    pub line: i64,
    /// What became of it.
    pub outcome: String,
    /// Since when.
    pub begun: Micros,
    /// Until when.
    pub ended: Option<Micros>,
}

/// A bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Its id.
    pub id: String,
    /// Of which order; none for a top-up, and for one that was found at the carrier.
    pub order: Option<String>,
    /// On which profile.
    pub iccid: String,
    /// Which product.
    pub product: String,
    /// Where it stands.
    pub status: String,
    /// The carrier's id of it.
    pub subscription: Option<String>,
}

/// An operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// For which order.
    pub order: Option<String>,
    /// For which bundle.
    pub bundle: Option<String>,
    /// On which profile.
    pub iccid: String,
    /// Where it stands.
    pub status: String,
    /// Whether it says why: a problem or evidence.
    pub explained: bool,
    /// What is wrong with it, in a word.
    pub code: String,
    /// What it is.
    pub kind: String,
    /// At which account.
    pub account: String,
}

/// A command as a carrier has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CarrierCommand {
    /// Our number of it, where the carrier takes one.
    pub number: Option<String>,
    /// On which SIM.
    pub iccid: String,
    /// What, as operations call it.
    pub kind: String,
    /// Carried out, and not failed.
    pub done: bool,
}

/// A SIM that a subscription may be activated on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Which.
    pub iccid: String,
    /// How often that happened.
    pub activated: u64,
    /// How the subscription stands, if there is one.
    pub status: Option<String>,
    /// The device that it is used in.
    pub device: Option<String>,
}

/// A hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: String,
    /// The order that it became.
    pub order: Option<String>,
    /// Where it stands.
    pub status: String,
    /// Until when.
    pub expires_at: Micros,
}

/// A difference between our books and the carrier's that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// On which profile.
    pub iccid: String,
    /// Of which kind.
    pub kind: String,
    /// About what.
    pub about: String,
    /// Where it stands.
    pub status: String,
}

/// A line as the carrier has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CarrierLine {
    /// Which SIM.
    pub iccid: String,
    /// Whether a device has or had the profile.
    pub downloaded: bool,
    /// Whether it was deleted from its device.
    pub deleted: bool,
    /// Every plan on it, over ones included.
    pub plans: Vec<CarrierPlan>,
}

/// A plan on a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CarrierPlan {
    /// The carrier's id of it.
    pub subscription: String,
    /// Which product.
    pub product: String,
    /// The reference that it was ordered with: an operation.
    pub reference: String,
    /// Whether its time is over.
    pub over: bool,
}

/// A profile that took the place of a sold one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replacement {
    /// In which order.
    pub order: String,
    /// The one that was sold.
    pub out: String,
    /// The one that took its place.
    pub by: String,
}

/// A webhook endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: String,
    /// Whose.
    pub channel: String,
    /// Where it is.
    pub url: String,
    /// What it wants; nothing for everything.
    pub types: Option<Vec<String>>,
    /// It gets what comes after this number.
    pub since: i64,
    /// Whether it is switched on.
    pub enabled: bool,
}

/// An event in the feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Its number.
    pub seq: i64,
}

impl EndState {
    pub(super) fn order(&self, id: &str) -> Option<&Order> {
        self.orders.iter().find(|order| order.id == id)
    }

    pub(super) fn carrier_line(&self, iccid: &str) -> Option<&CarrierLine> {
        self.carrier.iter().find(|line| line.iccid == iccid)
    }
}
