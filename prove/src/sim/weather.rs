//! What goes wrong in a run, and how often: drawn once from the seed, so that some runs are calm, some are stormy, and
//! most have only a few kinds of trouble (which then meet each other more often).

use simdepot_carrier_twin::Fault;

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
                Fault::Unauthorized401 | Fault::TooMany429 { .. } | Fault::RefuseTitle { .. }
            ),
        }
    }
}

/// How often what goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    writes: Vec<(u16, Trouble)>,
    reads: Vec<(u16, Trouble)>,
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
    /// Carrier events of a thousand that never come, come twice, or come late.
    pub event_troubles: u16,
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
        let mut rate = |often: u16, most: i64| {
            if rng.per_mille(often) { u16::try_from(rng.within(1, most)).unwrap_or_default() } else { 0 }
        };
        weather.kills = rate(650, 12);
        weather.pauses = rate(500, 8);
        weather.gone_clients = rate(400, 10);
        weather.clock_steps = rate(200, 4);
        weather.event_troubles = rate(600, 300);
        weather.outages = rate(400, 600);
        weather
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
    pub(super) fn trouble(&self, write: bool, rng: &mut Rng) -> Option<Trouble> {
        let table = if write { &self.writes } else { &self.reads };
        for (rate, trouble) in table {
            if rng.per_mille(*rate) {
                return Some(trouble.clone());
            }
        }
        None
    }
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
        assert!((0..1000).all(|_| Weather::fair().trouble(true, &mut rng).is_none()));
        let stormy = (0..50)
            .filter(|seed| {
                let mut rng = Rng::new(*seed);
                let weather = Weather::draw(&mut rng);
                (0..200).any(|_| weather.trouble(true, &mut rng).is_some())
            })
            .count();
        assert!((20..50).contains(&stormy), "{stormy}");
    }
}
