//! What is to be shown, and whether a run shows it.

use std::fmt;

use serde::Serialize;
use strum::VariantArray;

use crate::cluster::Storage;
use crate::sample::Figure;

/// A figure that has a goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, VariantArray)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// 64 clients against pgbench.
    Clients64,
    /// 256 clients against pgbench.
    Clients256,
    /// 8 clients against pgbench.
    Clients8,
    /// A lone order against the bare transaction.
    Lone,
    /// Slow answers against ordinary ones.
    Tail,
    /// Against the Fastify peer.
    Fastify,
    /// Against the FastAPI peer.
    Fastapi,
    /// After many orders.
    Aging,
    /// After many orders, with an old snapshot.
    Snapshot,
    /// Out of a large pool.
    PoolSize,
    /// SQLite against PostgreSQL.
    Sqlite,
    /// Import against COPY.
    Import,
    /// Memory of a large import.
    ImportMemory,
    /// A page of a search.
    SearchPage,
    /// A pool's stock level.
    StockLevel,
}

/// What a figure must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    /// No less.
    AtLeast(f64),
    /// No more.
    AtMost(f64),
    /// Less.
    Below(f64),
}

impl Wanted {
    /// Whether a figure is that.
    pub fn met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
            Self::Below(limit) => figure < limit,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(figure) => write!(formatter, "≥ {figure}"),
            Self::AtMost(figure) => write!(formatter, "≤ {figure}"),
            Self::Below(figure) => write!(formatter, "< {figure}"),
        }
    }
}

impl Goal {
    /// What it is about, and what is wanted.
    pub fn is(self) -> (&'static str, Wanted) {
        use Wanted::{AtLeast, AtMost, Below};
        match self {
            Self::Clients64 => ("64 clients ÷ pgbench's best, one statement per order", AtLeast(4.0)),
            Self::Clients256 => ("256 clients ÷ pgbench's best", AtLeast(6.0)),
            Self::Clients8 => ("8 clients ÷ pgbench's best", AtLeast(1.0)),
            Self::Lone => ("latency (p50) of 1 client ÷ that of the bare transaction", AtMost(1.2)),
            Self::Tail => ("p99 ÷ p50 with 64 clients", AtMost(3.0)),
            Self::Fastify => ("64 clients ÷ Fastify + pg, statements", AtLeast(9.0)),
            Self::Fastapi => ("64 clients ÷ FastAPI + SQLAlchemy", AtLeast(25.0)),
            Self::Aging => ("after 200,000 orders ÷ at the start", AtLeast(0.95)),
            Self::Snapshot => ("the same, an old snapshot held open", AtLeast(0.9)),
            Self::PoolSize => ("pool of 10,000,000 ÷ pool of 10,000", AtLeast(0.9)),
            Self::Sqlite => ("SQLite (synchronous=FULL) ÷ PostgreSQL, 64 clients", AtLeast(0.5)),
            Self::Import => ("import ÷ raw COPY of the same columns", AtLeast(0.3)),
            Self::ImportMemory => ("most memory while 5,000,000 rows are imported, MB", Below(200.0)),
            Self::SearchPage => {
                ("search page (the worst filter): time at 10,000,000 profiles ÷ at 10,000", AtMost(1.5))
            }
            Self::StockLevel => ("stock level: time at 10,000,000 profiles ÷ at 10,000", AtMost(1.5)),
        }
    }

    /// Whether it is a goal at a commit of one millisecond. An import has few commits: any storage does.
    fn at_a_millisecond(self) -> bool {
        !matches!(self, Self::Import | Self::ImportMemory)
    }
}

/// A ratio that a run gave, or a figure that stands for itself.
#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    /// Of what.
    pub what: String,
    /// How much.
    pub figure: Figure,
    /// Measured on which storage.
    pub on: Storage,
    /// The goal that it decides.
    pub goal: Option<Goal>,
}

impl Ratio {
    /// Of two figures; the range is that of the first one.
    pub fn of(what: impl Into<String>, over: Figure, under: Figure, on: Storage) -> Self {
        let figure = Figure {
            median: over.median / under.median,
            min: over.min / under.median,
            max: over.max / under.median,
        };
        Self { what: what.into(), figure, on, goal: None }
    }

    /// Decides this goal.
    #[must_use]
    pub fn deciding(mut self, goal: Option<Goal>) -> Self {
        self.goal = goal;
        self
    }

    /// A line of a table, with its goal.
    pub fn markdown(&self) -> String {
        let Figure { median, min, max } = self.figure;
        let wanted = self.goal.map_or_else(|| "shown".to_owned(), |goal| goal.is().1.to_string());
        format!("| {} | **{median:.2}** ({min:.2}–{max:.2}) | {wanted} |\n", self.what)
    }
}

/// A goal, and what was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Reached {
    goal: Goal,
    what: &'static str,
    wanted: String,
    /// Absent when that part was left out.
    measured: Option<Figure>,
    met: Option<bool>,
    /// The same on the machine's own disk, for which there is no goal.
    on_disk: Option<Figure>,
}

/// Every goal, in the order in which they are set.
pub fn reached(ratios: &[Ratio]) -> Vec<Reached> {
    let of = |goal: &Goal| {
        let on = |storage| {
            let fits = |ratio: &&Ratio| ratio.goal == Some(*goal) && ratio.on == storage;
            ratios.iter().find(fits).map(|ratio| ratio.figure)
        };
        let simulated = on(Storage::Simulated);
        let measured = if goal.at_a_millisecond() { simulated } else { simulated.or(on(Storage::Disk)) };
        let (what, wanted) = goal.is();
        Reached {
            goal: *goal,
            what,
            wanted: wanted.to_string(),
            measured,
            met: measured.map(|figure| wanted.met(figure.median)),
            on_disk: on(Storage::Disk),
        }
    };
    Goal::VARIANTS.iter().map(of).collect()
}

/// What tests of the repository show, and no measurement.
const BY_TESTS: [(&str, &str); 2] = [
    (
        "after 100,000 orders the claim does not walk sold profiles (EXPLAIN)",
        "tests/persistence/claim_plan.rs",
    ),
    ("no double sale, no loss, no false sold-out, whenever it is killed", "prove, tests/flow"),
];

/// The table of the goals.
pub fn markdown(reached: &[Reached]) -> String {
    let mut text = "\n### Goals\n\nAt a commit of 1 ms (simulated), imports on the disk:\n\n\
        | goal | wanted | measured (min–max) | met | this machine's disk |\n|---|--:|--:|---|--:|\n"
        .to_owned();
    let show = |Figure { median, min, max }: Figure| format!("{median:.2} ({min:.2}–{max:.2})");
    for Reached { what, wanted, measured, met, on_disk, .. } in reached {
        let measured = measured.map_or_else(|| "not measured".to_owned(), show);
        let met = match met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let on_disk = on_disk.map_or_else(|| "–".to_owned(), show);
        text.push_str(&format!("| {what} | {wanted} | {measured} | {met} | {on_disk} |\n"));
    }
    for (what, tests) in BY_TESTS {
        text.push_str(&format!("| {what} | shown | by tests: `{tests}` | – | – |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(goal: Goal, value: f64, on: Storage) -> Ratio {
        let one = Figure { median: 1.0, min: 1.0, max: 1.0 };
        let over = Figure { median: value, min: value, max: value };
        Ratio::of("a ratio", over, one, on).deciding(Some(goal))
    }

    #[test]
    fn every_goal_has_a_line_whether_measured_or_not() {
        let given = [
            ratio(Goal::Clients64, 4.0, Storage::Simulated),
            ratio(Goal::Clients64, 9.0, Storage::Disk),
            ratio(Goal::Lone, 1.3, Storage::Simulated),
            ratio(Goal::Tail, 2.0, Storage::Disk),
            ratio(Goal::ImportMemory, 200.0, Storage::Disk),
        ];
        let lines = reached(&given);
        assert_eq!(lines.len(), Goal::VARIANTS.len());
        let met = |goal| lines.iter().find(|line| line.goal == goal).unwrap().met;
        assert_eq!(met(Goal::Clients64), Some(true));
        assert_eq!(met(Goal::Lone), Some(false));
        // The disk stands beside, it decides nothing.
        assert_eq!(met(Goal::Tail), None);
        assert_eq!(met(Goal::ImportMemory), Some(false));
        let table = markdown(&lines);
        assert!(table.contains("≥ 4 | 4.00 (4.00–4.00) | yes | 9.00 (9.00–9.00) |"), "{table}");
        assert!(table.contains("≥ 9 | not measured | – | – |"), "{table}");
    }
}
