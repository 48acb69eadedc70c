//! What happened: every request and its answer, everything that took effect at the carrier, every fault.
//!
//! Codes are never written down: an entry only says whose code was shown and whether it was the right one.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

/// A moment of the true time, in microseconds since 1970.
pub type Micros = i64;

/// One line of a request for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedLine {
    /// From which pool.
    pub pool: String,
    /// Which product.
    pub product: Option<String>,
    /// How many.
    pub quantity: u32,
    /// What the carrier of the pool is told with it, as JSON.
    pub parameters: Option<String>,
}

/// What a line is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedCommand {
    /// To stop.
    Suspend,
    /// To work again.
    Reactivate,
    /// To end.
    Terminate,
    /// To move to another device.
    ChangeDevice {
        /// Which.
        imei: String,
    },
    /// To put a device on the block list, or to take it off.
    BlockDevice {
        /// Which.
        imei: String,
        /// Put on.
        block: bool,
    },
}

/// What a storefront asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// An order.
    Order {
        /// Its reference.
        reference: String,
        /// Its lines.
        lines: Vec<AskedLine>,
        /// The idempotency key.
        key: Option<String>,
        /// Which hold it turns into an order.
        hold: Option<String>,
    },
    /// The order again, with its codes or without.
    Read {
        /// Which.
        order: String,
        /// With the codes.
        reveal: bool,
    },
    /// One profile's code.
    Code {
        /// Of which profile.
        iccid: String,
    },
    /// Another product on a sold profile.
    TopUp {
        /// On which profile.
        iccid: String,
        /// Its reference.
        reference: String,
        /// Which product.
        product: String,
    },
    /// Profiles for later.
    Hold {
        /// From which pool.
        pool: String,
        /// How many.
        quantity: u32,
        /// For how long.
        seconds: u32,
        /// The idempotency key.
        key: String,
    },
    /// To give a hold back.
    Release {
        /// Which.
        hold: String,
    },
    /// To compare everything with the carrier.
    Compare,
    /// To take an order back.
    Cancel {
        /// Which.
        order: String,
    },
    /// Another profile in the place of one that does not work.
    Replace {
        /// Which.
        iccid: String,
        /// The idempotency key.
        key: String,
    },
    /// To tell a line something.
    Command {
        /// Whose.
        iccid: String,
        /// What.
        command: AskedCommand,
        /// The idempotency key.
        key: String,
    },
    /// To decide what the carrier could not tell, after a look at what it has.
    Resolve {
        /// Which operation.
        operation: String,
        /// How.
        judged: Judged,
        /// When the person looked; nobody may be there to be asked for a while.
        looked: Micros,
        /// The idempotency key.
        key: String,
    },
    /// To switch a webhook endpoint on or off.
    Endpoint {
        /// Which.
        endpoint: String,
        /// On.
        enabled: bool,
    },
}

/// What a person found out about an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// The carrier did it.
    Done {
        /// As this subscription, when the person says so.
        subscription: Option<String>,
    },
    /// It did not, and it is not to be tried again.
    Refused,
    /// It did not: it is to be sent again. Now and then a mistake.
    Retry,
}

/// A profile in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownProfile {
    /// Which.
    pub iccid: String,
    /// What became of it.
    pub outcome: String,
    /// Which product it carries by the answer.
    pub product: Option<String>,
    /// Whether its code was shown, and whether that was the code of this profile.
    pub code: Option<bool>,
}

/// What a storefront is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An order.
    Order {
        /// 200, 201 or 202.
        http: u16,
        /// Its id.
        id: String,
        /// Its reference.
        reference: String,
        /// Where it stands.
        status: String,
        /// Its profiles.
        profiles: Vec<ShownProfile>,
    },
    /// A code.
    Code {
        /// Whose.
        iccid: String,
        /// Whether it is that profile's.
        right: bool,
    },
    /// A top-up.
    Bundle {
        /// Its id.
        id: String,
        /// Its reference.
        reference: String,
        /// Where it stands.
        status: String,
    },
    /// A hold.
    Hold {
        /// Its id.
        id: String,
        /// Where it stands.
        status: String,
        /// How many profiles it holds.
        quantity: u32,
    },
    /// An event was taken up, or not.
    Event {
        /// HTTP status.
        http: u16,
    },
    /// The comparison of everything began.
    Comparing,
    /// A profile was replaced.
    Replaced {
        /// Which.
        out: String,
        /// By which.
        by: String,
        /// In which order.
        order: String,
    },
    /// A command that was taken up.
    Commanded {
        /// The operation.
        operation: String,
        /// To which line.
        iccid: String,
    },
    /// An operation after a person's decision.
    Resolved {
        /// Which.
        operation: String,
        /// Where it stands.
        status: String,
    },
    /// An endpoint after its owner changed it.
    Endpoint {
        /// On.
        enabled: bool,
    },
    /// The pool has not enough.
    OutOfStock {
        /// Which.
        pool: String,
        /// How many were asked for.
        requested: u32,
        /// How many could have been sold.
        available: u64,
    },
    /// The order or the top-up failed for good.
    Refused {
        /// The order.
        order: Option<String>,
        /// The top-up.
        bundle: Option<String>,
        /// The carrier's code.
        code: String,
    },
    /// Something else that is an answer.
    Problem {
        /// In the contract's words.
        code: String,
        /// What it says.
        detail: String,
        /// Whether to ask again.
        again: bool,
    },
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A request reached a process.
    Asked {
        /// Its number.
        request: u32,
        /// By which storefront.
        channel: String,
        /// Which process got it.
        process: usize,
        /// What for.
        ask: Ask,
    },
    /// It was answered.
    Answered {
        /// Its number.
        request: u32,
        /// How.
        answer: Answer,
    },
    /// It will never be answered: the process died, or the client went away.
    Unanswered {
        /// Its number.
        request: u32,
        /// Why.
        why: &'static str,
    },
    /// A request went out to the carrier.
    Sent {
        /// Which call.
        call: &'static str,
        /// The reference that it carries: an operation.
        reference: Option<String>,
        /// What goes wrong with it.
        fault: Option<&'static str>,
    },
    /// A webhook arrived.
    Webhook {
        /// Where.
        url: String,
        /// Its id.
        id: String,
        /// The type of the event.
        kind: String,
        /// The event's number in the feed.
        seq: i64,
        /// Whose order it keeps: the subject, or the profile that it is about.
        about: String,
        /// SHA-256 of its bytes, in hex.
        body: String,
        /// Whether it bears the time and the signature of its endpoint.
        genuine: bool,
        /// What the receiver decided to answer.
        status: u16,
    },
    /// A bundle came to be at the carrier.
    Applied {
        /// On which SIM.
        iccid: String,
        /// Which product.
        product: String,
        /// The reference that it carries: an operation.
        reference: String,
        /// The carrier's id of it.
        subscription: String,
        /// Long after the request: it was kept in a queue of the carrier's.
        late: bool,
    },
    /// A carrier has carried something out, or has not after all.
    Ended {
        /// Its number: ours, or the carrier's where it takes none of ours.
        number: String,
        /// On which SIM.
        iccid: String,
        /// What, as operations call it.
        kind: &'static str,
        /// Carried out.
        done: bool,
    },
    /// A customer did something with a profile.
    Device {
        /// Which.
        iccid: String,
        /// What.
        act: &'static str,
    },
    /// The carrier, or somebody else, tells of something.
    Event {
        /// Its number.
        request: u32,
        /// Which process gets it.
        process: usize,
        /// Its id.
        id: String,
    },
    /// A process died.
    Killed {
        /// Which.
        process: usize,
        /// What was under way in it.
        under_way: usize,
    },
    /// A process began.
    Opened {
        /// Which.
        process: usize,
    },
    /// A process stood still.
    Paused {
        /// Which.
        process: usize,
        /// For how long.
        ms: i64,
    },
    /// The machine's clock was set.
    ClockSet {
        /// By how much.
        ms: i64,
    },
    /// A background step failed.
    StepFailed {
        /// In which process.
        process: usize,
        /// Which.
        job: &'static str,
        /// How.
        error: String,
        /// Whether such an error may happen.
        expected: bool,
    },
    /// No more faults from here.
    Healed,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Micros,
    /// What.
    pub what: What,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.at.div_euclid(1_000_000), self.at.rem_euclid(1_000_000));
        let of_day = seconds.rem_euclid(86_400);
        write!(
            f,
            "{:02}:{:02}:{:02}.{micros:06} {:?}",
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60,
            self.what
        )
    }
}

/// The whole story of a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct History {
    entries: Vec<Entry>,
    /// Faults and other disturbances by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// Which actor went on at each step: two runs are the same when this is.
    pub steps: u64,
    trail: u64,
}

impl History {
    /// Adds an entry.
    pub fn push(&mut self, at: Micros, what: What) {
        self.entries.push(Entry { at, what });
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Counts a disturbance.
    pub fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// Remembers who went on.
    pub fn step(&mut self, actor: u64) {
        self.steps += 1;
        self.trail = (self.trail ^ actor).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(5);
    }

    /// Tells two runs apart: SHA-256 over every entry and every step, in hex.
    pub fn hash(&self) -> String {
        let mut digest = Sha256::new();
        for entry in &self.entries {
            digest.update(entry.to_string());
            digest.update("\n");
        }
        digest.update(self.steps.to_be_bytes());
        digest.update(self.trail.to_be_bytes());
        hex::encode(digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_entries_and_steps_apart() {
        let mut one = History::default();
        one.push(1, What::Healed);
        let mut two = one.clone();
        assert_eq!(one.hash(), two.hash());
        two.step(7);
        assert_ne!(one.hash(), two.hash());
        one.push(2, What::Opened { process: 0 });
        assert_ne!(one.hash(), two.hash());
    }

    #[test]
    fn entries_show_their_time() {
        let entry = Entry { at: 3_661_000_042, what: What::Killed { process: 1, under_way: 2 } };
        assert_eq!(entry.to_string(), "01:01:01.000042 Killed { process: 1, under_way: 2 }");
    }
}
