//! What goes wrong in a run, and how often: drawn once from the seed, so that some runs are calm, some are stormy, and
//! most have only a few kinds of trouble (which then meet each other more often).

use simdepot_carrier_twin::Fault;

use super::calls::is_write;
use crate::guards::Guard;
use crate::rng::Rng;

/// What goes wrong with one request to the carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The request surely did not go out.
    NotConnected,
    /// The carrier's gateway or service fails.
    AtTheCarrier(Fault),
    /// It takes effect; the answer takes this long.
    Slow {
        /// In milliseconds.
        ms: i64,
    },
    /// It takes effect; no answer ever comes.
    Silent,
    /// It is held up on its way, or waits at the carrier, and takes effect then; nobody is told.
    Late {
        /// How much later, in milliseconds.
        ms: i64,
        /// The connection ends at once, instead of staying silent.
        dropped: bool,
    },
}

impl Trouble {
    /// Its name in counts and histories.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotConnected => "no connection",
            Self::Slow { .. } => "slow answer",
            Self::Silent => "applied, never answered",
            Self::Late { .. } => "held up, then applied",
            Self::AtTheCarrier(fault) => match fault {
                Fault::DropAfterApply => "applied, connection dropped",
                Fault::DropBeforeApply => "not applied, connection dropped",
                Fault::Status503Before => "503 before",
                Fault::Status503AfterApply => "503 after",
                Fault::Status504AfterApply => "504 after",
                Fault::Status500Before => "500 before",
                Fault::Unauthorized401 => "401",
                Fault::TooMany429 { .. } => "429",
                Fault::WrongShape => "answer of a wrong shape",
                Fault::Garbage => "answer is garbage",
                Fault::RefuseTitle { .. } => "refused",
                Fault::TurnedAway { .. } => "turned away on the way",
                Fault::LateFailure { .. } => "taken, failed later",
                Fault::ApplyLate { .. } | Fault::Slow { .. } => "other",
            },
        }
    }

    /// Whether it leaves open for a while if the carrier did it.
    pub fn loses_the_answer(&self) -> bool {
        match self {
            Self::NotConnected => false,
            Self::Slow { .. } | Self::Silent | Self::Late { .. } => true,
            Self::AtTheCarrier(fault) => !matches!(
                fault,
                Fault::Unauthorized401
                    | Fault::TooMany429 { .. }
                    | Fault::RefuseTitle { .. }
                    | Fault::TurnedAway { .. }
                    | Fault::LateFailure { .. }
            ),
        }
    }
}

/// What goes wrong with one try of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostTrouble {
    /// The receiver is not reached.
    Unreachable,
    /// It never arrives, and no answer comes.
    Lost,
    /// It arrives and is taken; the answer is lost.
    Broken,
    /// It arrives and is taken; the answer takes this long.
    Slow {
        /// In milliseconds.
        ms: i64,
    },
    /// It is answered with something else than "taken".
    Answers {
        /// HTTP status.
        status: u16,
        /// When to come back.
        retry_after: Option<&'static str>,
    },
}

impl PostTrouble {
    /// Its name in counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "webhook: no connection",
            Self::Lost => "webhook: never arrives",
            Self::Broken => "webhook: taken, answer lost",
            Self::Slow { .. } => "webhook: taken, slow answer",
            Self::Answers { status: 410, .. } => "webhook: 410",
            Self::Answers { status: 429, .. } => "webhook: 429",
            Self::Answers { status: 503, .. } => "webhook: 503",
            Self::Answers { .. } => "webhook: another answer",
        }
    }
}

/// What an endpoint wants; nothing for everything.
pub(super) type Types = Option<Vec<&'static str>>;

/// How often what goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    writes: Vec<(u16, Trouble)>,
    reads: Vec<(u16, Trouble)>,
    /// What goes wrong with commands to lines, and with the activations of subscriptions.
    commands: Vec<(u16, Trouble)>,
    /// A process dies, of a thousand steps.
    pub kills: u16,
    /// A process stands still for a while, of a thousand steps.
    pub pauses: u16,
    /// A client goes away, of a thousand steps.
    pub gone_clients: u16,
    /// The machine's clock is set, of a thousand steps.
    pub clock_steps: u16,
    /// Lost answers of a thousand that begin an outage: for a while nothing reaches the carrier.
    pub outages: u16,
    /// Inventory reads of a thousand that fail, apart from other trouble with reads.
    pub inventory: u16,
    /// Carrier events of a thousand that never come, come twice, or come late.
    pub event_troubles: u16,
    /// No event of the carrier comes as long as things go wrong.
    pub no_events: bool,
    /// Reads of a thousand that show the carrier as it was some time ago.
    pub stale: u16,
    /// How long ago at most, in milliseconds: less than what lies between two looks.
    pub lag_ms: i64,
    /// What goes wrong with webhooks.
    pub posts: Vec<(u16, PostTrouble)>,
    /// Of a thousand such troubles, how many begin a time in which no receiver is reached.
    pub post_outages: u16,
    /// What webhook endpoints there are.
    pub(super) endpoints: Vec<Types>,
    /// Processes die and stand still just before a write as well.
    pub(super) watches_sends: bool,
    /// Whether a person decides what the carrier could not tell.
    pub(super) decides: bool,
    /// How many profiles are replaced at most.
    pub(super) replacements: u32,
    /// The longest pause between two things that people do, in microseconds.
    pub(super) people_pause: i64,
    /// Of a thousand things that storefronts want, how many are to take back what they ordered last, beside others.
    pub(super) regrets: u16,
    /// How many commands lines are given at most.
    pub(super) orders_to_lines: u32,
    /// Of a thousand turns, after how many a carrier tells what is not so.
    pub(super) rumours: u16,
    /// How long a line must show nothing of a command, in milliseconds.
    pub(super) line_settle_ms: i64,
}

impl Weather {
    /// Nothing goes wrong.
    pub fn fair() -> Self {
        Self::default()
    }

    /// From a seed.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut weather = Self::default();
        let (calm_writes, calm_reads) = (rng.per_mille(200), rng.per_mille(350));
        let storm = if rng.per_mille(150) { 3 } else { 1 };
        for trouble in write_troubles(rng) {
            if !calm_writes && rng.per_mille(450) {
                let rate = u16::try_from(rng.within(10, 110)).unwrap_or_default();
                weather.writes.push((rate * storm, trouble));
            }
        }
        for trouble in read_troubles(rng) {
            if !calm_reads && rng.per_mille(350) {
                let rate = u16::try_from(rng.within(5, 110)).unwrap_or_default();
                weather.reads.push((rate * storm, trouble));
            }
        }
        for trouble in command_troubles(rng) {
            if !calm_writes && rng.per_mille(400) {
                let rate = u16::try_from(rng.within(10, 110)).unwrap_or_default();
                weather.commands.push((rate * storm, trouble));
            }
        }
        let mut rate = |often: u16, most: i64| {
            if rng.per_mille(often) { u16::try_from(rng.within(1, most)).unwrap_or_default() } else { 0 }
        };
        weather.kills = rate(650, 12);
        weather.pauses = rate(500, 8);
        weather.gone_clients = rate(400, 10);
        weather.clock_steps = rate(200, 4);
        weather.event_troubles = rate(600, 300);
        weather.rumours = rate(350, 6);
        weather.regrets = rate(250, 250);
        weather.inventory = rate(250, 400);
        weather.outages =
            if rng.per_mille(450) { u16::try_from(rng.within(100, 800)).unwrap_or_default() } else { 0 };
        if rng.per_mille(500) {
            weather.stale = u16::try_from(rng.within(100, 900)).unwrap_or_default();
            weather.lag_ms = rng.within(300, LONGEST_LAG_MS);
        }
        weather.watches_sends = rng.per_mille(250);
        weather.draw_people(rng);
        weather.draw_posts(rng);
        weather
    }

    fn draw_people(&mut self, rng: &mut Rng) {
        self.decides = rng.per_mille(600);
        self.replacements =
            if rng.per_mille(600) { u32::try_from(rng.within(1, 5)).unwrap_or_default() } else { 0 };
        self.people_pause = rng.within(1_000, 10_000) * 1_000;
        self.orders_to_lines =
            if rng.per_mille(700) { u32::try_from(rng.within(2, 14)).unwrap_or_default() } else { 0 };
    }

    /// Whoever cannot ask how a transaction ended must not be left with one that failed.
    pub(super) fn spare_transactions(&mut self) {
        self.commands
            .retain(|(_, trouble)| !matches!(trouble, Trouble::AtTheCarrier(Fault::LateFailure { .. })));
        self.rumours = 0;
    }

    /// Every delivery is two transactions, so that most runs have no endpoints or such as want little.
    fn draw_posts(&mut self, rng: &mut Rng) {
        if !rng.per_mille(450) {
            return;
        }
        self.endpoints.push(draw_types(rng));
        if rng.per_mille(300) {
            self.endpoints.push(draw_types(rng));
        }
        if rng.per_mille(250) {
            return;
        }
        for trouble in post_troubles(rng) {
            if rng.per_mille(400) {
                self.posts.push((u16::try_from(rng.within(5, 120)).unwrap_or_default(), trouble));
            }
        }
        self.post_outages = if rng.per_mille(400) { 150 } else { 0 };
    }

    /// The trouble that a guard is for, often: whoever looks whether its loss is noticed need not wait for chance.
    pub(super) fn stress(&mut self, guard: Guard) {
        let at = Trouble::AtTheCarrier;
        let held_up = |ms| Trouble::Late { ms, dropped: true };
        self.stress_people(guard);
        let often = match guard {
            Guard::RepeatIsAskedBefore
            | Guard::RepeatKeepsItsNumber
            | Guard::LostCommandIsNotRefused
            | Guard::AcknowledgedIsNotDone
            | Guard::HearsayProvesNothing
            | Guard::CancelledSendsNothing
            | Guard::CommandSentIsKept => return self.stress_commands(guard),
            Guard::LostIsNotResent | Guard::LostIsNotRefused | Guard::LostIsNotDone => {
                at(Fault::DropAfterApply)
            }
            Guard::FailedReadIsNotNothing | Guard::DecisionIsKept => {
                self.inventory = 700;
                at(Fault::DropAfterApply)
            }
            Guard::EvidenceFits => at(Fault::DropBeforeApply),
            Guard::ResolverWaits | Guard::RetryByHandWaits => held_up(6_000),
            Guard::DriftIsTold => held_up(70_000),
            // Found only when it is looked for again: when the first look came, it was hidden, and no event told of it.
            Guard::AbsenceIsSeenTwice => {
                (self.stale, self.lag_ms, self.no_events) = (950, LONGEST_LAG_MS, true);
                (self.clock_steps, self.pauses) = (0, 0);
                held_up(19_200)
            }
            Guard::SentIsKept
            | Guard::SoldIsNotOnSale
            | Guard::ClaimSeesAll
            | Guard::FulfilledByOutcome
            | Guard::ReferenceIsUnique
            | Guard::ReturnNeedsProof
            | Guard::LedgerIsTrue
            | Guard::RevealIsKept
            | Guard::HoldGivesBack
            | Guard::HeldIsNotOnSale
            | Guard::FeedIsDense
            | Guard::EventsAreSigned
            | Guard::ReplacedIsNotOnSale
            | Guard::WebhookIsSent
            | Guard::WebhooksKeepOrder
            | Guard::WebhooksAreSigned
            | Guard::WebhookBytesAreKept => return,
        };
        self.writes.insert(0, (150, often));
    }

    fn stress_commands(&mut self, guard: Guard) {
        let at = Trouble::AtTheCarrier;
        let failure = Fault::LateFailure { code: "E1".to_owned(), message: "no".to_owned() };
        let often = match guard {
            Guard::RepeatIsAskedBefore | Guard::LostCommandIsNotRefused => at(Fault::DropAfterApply),
            Guard::RepeatKeepsItsNumber => at(Fault::DropBeforeApply),
            Guard::AcknowledgedIsNotDone => at(failure),
            Guard::HearsayProvesNothing => {
                (self.rumours, self.orders_to_lines, self.people_pause) = (40, 20, 2_000_000);
                return;
            }
            // What waits to be sent can be taken back.
            Guard::CancelledSendsNothing => {
                self.regrets = 450;
                at(Fault::TooMany429 { retry_after: Some(20) })
            }
            _ => return,
        };
        self.commands.insert(0, (250, often));
    }

    fn stress_people(&mut self, guard: Guard) {
        match guard {
            Guard::RetryByHandWaits | Guard::DecisionIsKept => {
                (self.decides, self.people_pause) = (true, 1_000_000);
            }
            Guard::ReplacedIsNotOnSale => (self.replacements, self.people_pause) = (4, 4_000_000),
            Guard::WebhookIsSent
            | Guard::WebhooksKeepOrder
            | Guard::WebhooksAreSigned
            | Guard::WebhookBytesAreKept => {
                self.endpoints = vec![Some(vec!["profile.*", "bundle.*", "order.*"])];
                self.posts.insert(0, (200, PostTrouble::Answers { status: 500, retry_after: None }));
            }
            _ => {}
        }
    }

    /// What a request meets during an outage.
    pub(super) fn outage(rng: &mut Rng) -> Trouble {
        match rng.below(3) {
            0 => Trouble::NotConnected,
            1 => Trouble::AtTheCarrier(Fault::DropBeforeApply),
            _ => Trouble::AtTheCarrier(Fault::Status503Before),
        }
    }

    /// What goes wrong with the next request, if anything.
    pub(super) fn trouble(&self, call: &str, rng: &mut Rng) -> Option<Trouble> {
        let table = match call {
            "order" => &self.writes,
            _ if is_write(call) => &self.commands,
            _ => &self.reads,
        };
        if call == "inventory" && rng.per_mille(self.inventory) {
            return Some(Trouble::AtTheCarrier(Fault::Status503Before));
        }
        for (rate, trouble) in table {
            if rng.per_mille(*rate) {
                return Some(trouble.clone());
            }
        }
        None
    }
}

/// Two looks are five seconds apart.
const LONGEST_LAG_MS: i64 = 4_900;

fn draw_types(rng: &mut Rng) -> Types {
    match rng.below(8) {
        0 => None,
        1 | 2 => Some(vec!["profile.*", "bundle.*"]),
        3 | 4 => Some(vec!["order.*", "webhook_endpoint.*"]),
        5 => Some(vec!["profile.stock_moved", "operation.status_changed"]),
        6 => Some(vec!["bundle.*", "operation.*"]),
        _ => Some(vec!["order.status_changed", "bundle.status_changed"]),
    }
}

fn post_troubles(rng: &mut Rng) -> Vec<PostTrouble> {
    let answers = |status, retry_after| PostTrouble::Answers { status, retry_after };
    vec![
        PostTrouble::Unreachable,
        PostTrouble::Lost,
        PostTrouble::Broken,
        PostTrouble::Slow { ms: rng.within(500, 19_000) },
        PostTrouble::Slow { ms: rng.within(21_000, 40_000) },
        answers(500, None),
        answers(503, Some("3")),
        answers(503, None),
        answers(429, Some("20")),
        answers(429, Some("Sun, 22 Nov 2026 00:03:00 GMT")),
        answers(302, None),
        answers(404, Some("1")),
        answers(410, None),
    ]
}

fn refusal(status: u16, title: &str) -> Trouble {
    Trouble::AtTheCarrier(Fault::RefuseTitle { status, title: title.to_owned() })
}

fn write_troubles(rng: &mut Rng) -> Vec<Trouble> {
    let at = Trouble::AtTheCarrier;
    vec![
        Trouble::NotConnected,
        at(Fault::DropBeforeApply),
        at(Fault::DropAfterApply),
        at(Fault::Status503Before),
        at(Fault::Status503AfterApply),
        at(Fault::Status504AfterApply),
        at(Fault::Status500Before),
        at(Fault::WrongShape),
        at(Fault::Garbage),
        at(Fault::Unauthorized401),
        at(Fault::TooMany429 { retry_after: Some(2) }),
        at(Fault::TooMany429 { retry_after: None }),
        refusal(400, "SUBSCRIBER_STATUS_NOT_ELIGIBLE"),
        refusal(400, "SUBSCRIBER_NOT_FOUND"),
        refusal(400, "PRODUCT_NOT_ELIGIBLE"),
        refusal(403, "INSUFFICIENT_FUND"),
        Trouble::Slow { ms: rng.within(1_000, 14_000) },
        Trouble::Slow { ms: rng.within(14_000, 40_000) },
        Trouble::Silent,
        Trouble::Late { ms: rng.within(200, 14_000), dropped: true },
        // Just in time for the first look, and listed after it where inventories lag.
        Trouble::Late { ms: rng.within(6_000, 19_000), dropped: true },
        Trouble::Late { ms: rng.within(10_000, 120_000), dropped: rng.per_mille(500) },
    ]
}

/// Whatever carriers may answer to a command, and what becomes of it after all.
fn command_troubles(rng: &mut Rng) -> Vec<Trouble> {
    let at = Trouble::AtTheCarrier;
    let failure = |code: &str| {
        at(Fault::LateFailure { code: code.to_owned(), message: "the network does not take it".to_owned() })
    };
    vec![
        Trouble::NotConnected,
        at(Fault::DropBeforeApply),
        at(Fault::DropAfterApply),
        at(Fault::Status503Before),
        at(Fault::Status503AfterApply),
        at(Fault::Status504AfterApply),
        at(Fault::Status500Before),
        at(Fault::WrongShape),
        at(Fault::Garbage),
        at(Fault::Unauthorized401),
        at(Fault::TooMany429 { retry_after: Some(2) }),
        refusal(400, "BAD_REQUEST"),
        refusal(404, "SIM_NOT_FOUND"),
        refusal(409, "SIM_IN_USE"),
        failure("E1"),
        failure("HLR"),
        Trouble::Slow { ms: rng.within(1_000, 40_000) },
        Trouble::Silent,
        Trouble::Late { ms: rng.within(200, 14_000), dropped: true },
        Trouble::Late { ms: rng.within(6_000, 19_000), dropped: true },
        Trouble::Late { ms: rng.within(10_000, 120_000), dropped: rng.per_mille(500) },
    ]
}

fn read_troubles(rng: &mut Rng) -> Vec<Trouble> {
    let at = Trouble::AtTheCarrier;
    vec![
        Trouble::NotConnected,
        at(Fault::DropBeforeApply),
        at(Fault::Status503Before),
        at(Fault::Status500Before),
        at(Fault::WrongShape),
        at(Fault::Garbage),
        at(Fault::Unauthorized401),
        at(Fault::TooMany429 { retry_after: Some(1) }),
        Trouble::Slow { ms: rng.within(1_000, 20_000) },
        Trouble::Silent,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fair_weather_is_fair_and_seeds_differ() {
        let mut rng = Rng::new(1);
        assert!((0..1000).all(|_| Weather::fair().trouble("order", &mut rng).is_none()));
        let stormy = (0..50)
            .filter(|seed| {
                let mut rng = Rng::new(*seed);
                let weather = Weather::draw(&mut rng);
                (0..200).any(|_| weather.trouble("order", &mut rng).is_some())
            })
            .count();
        assert!((20..50).contains(&stormy), "{stormy}");
    }
}
