//! Whether a page of a search and a stock level cost as little among many profiles as among few, over HTTP.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::pools::{LARGEST, Pool, Pools, SMALLEST};
use super::{Row, Told, load};
use crate::cluster::Storage;
use crate::depot::Depot;
use crate::goals::{Goal, Ratio};
use crate::load::Plan;
use crate::options::Options;
use crate::sample::Figure;
use crate::setting::Setting;
use crate::stock::{POOL, iccid};
use crate::tools::{float, say, shuffle};

/// One who asks: what is compared is the time of an answer, not how many are asked for at once.
const PLAN: Plan =
    Plan { clients: 1, warm_up: Duration::from_millis(300), measured: Duration::from_millis(700) };

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// The first page of what is on sale in a pool.
    Available,
    /// A page behind the first one, by the line's status.
    Behind,
    /// One profile by an identifier.
    Identifier,
    /// How much of a pool is left.
    Level,
}

const READS: [Read; 4] = [Read::Available, Read::Behind, Read::Identifier, Read::Level];

impl Read {
    fn title(self) -> &'static str {
        match self {
            Self::Available => "search: a pool's available profiles, 100 to a page",
            Self::Behind => "search: by the line's status, the page behind the first",
            Self::Identifier => "search: one profile by its ICCID",
            Self::Level => "stock level of a pool",
        }
    }

    /// The path, for a pool of that size.
    fn path(self, depot: &Depot, size: u64) -> Result<String> {
        let page = format!("/v1/profiles?pool={POOL}&sim_status=preactivated&limit=100");
        Ok(match self {
            Self::Available => format!("/v1/profiles?pool={POOL}&stock_status=available&limit=100"),
            Self::Behind => {
                let (_, first) = depot.call("GET", &page, None)?;
                let cursor = first.get("next_cursor").and_then(Value::as_str);
                format!("{page}&cursor={}", cursor.context("the first page has no cursor")?)
            }
            Self::Identifier => format!("/v1/profiles?q={}", iccid(size / 2)),
            Self::Level => format!("/v1/pools/{POOL}/stock"),
        })
    }

    /// How many rows there must be in an answer; none for a level.
    fn rows(self) -> Option<usize> {
        match self {
            Self::Available | Self::Behind => Some(100),
            Self::Identifier => Some(1),
            Self::Level => None,
        }
    }
}

pub(super) fn run(options: &Options, setting: &Setting, pools: &mut Pools) -> Result<Vec<Told>> {
    let sizes = [SMALLEST, options.most_profiles.max(SMALLEST * 10)];
    for size in sizes {
        pools.make(setting, size)?;
    }
    let opened: Vec<(&Pool, Depot)> = sizes
        .iter()
        .filter_map(|size| pools.of_size(*size))
        .map(|pool| Ok((pool, pools.open(setting, pool)?)))
        .collect::<Result<_>>()?;
    let mut jobs = Vec::new();
    for (pool, depot) in &opened {
        for read in READS {
            let path = read.path(depot, pool.size)?;
            check(read, depot, &path)?;
            jobs.push((read, pool.size, depot.reading(&path), Vec::new()));
        }
    }
    for repetition in 1..=options.reps {
        shuffle(&mut jobs, u64::from(repetition));
        for (read, size, target, times) in &mut jobs {
            let outcome = load(target, PLAN)?;
            say(&format!("{} ({size}), repetition {repetition}: {} µs", read.title(), outcome.latency.p50));
            times.push(float(outcome.latency.p50));
        }
    }
    let of = |read: Read, size: u64| {
        let job = jobs.iter().find(|(of, at, ..)| *of == read && *at == size);
        Row::new(
            format!("{}, {size} profiles", read.title()),
            job.map(|job| job.3.clone()).unwrap_or_default(),
            "µs",
        )
    };
    let [small, large] = sizes;
    Ok(vec![told(READS.map(|read| (read, of(read, small), of(read, large))), large)])
}

/// An answer must hold what it is asked for.
fn check(read: Read, depot: &Depot, path: &str) -> Result<()> {
    let (status, answer) = depot.call("GET", path, None)?;
    let rows = answer.get("data").and_then(Value::as_array).map(Vec::len);
    if status != 200 || (read.rows().is_some() && rows != read.rows()) {
        bail!("{path}: {status}, {rows:?} rows");
    }
    Ok(())
}

fn told(reads: [(Read, Row, Row); 4], large: u64) -> Told {
    let is_goal = large == LARGEST;
    let mut ratios: Vec<Ratio> = Vec::new();
    let mut worst: Option<Figure> = None;
    for (read, few, many) in &reads {
        let ratio = Ratio::of(read.title(), many.figure, few.figure, Storage::Simulated);
        let level = *read == Read::Level;
        if !level && worst.is_none_or(|worst| ratio.figure.median > worst.median) {
            worst = Some(ratio.figure);
        }
        ratios.push(ratio.deciding((is_goal && level).then_some(Goal::StockLevel)));
    }
    let worst = worst.map(|figure| Ratio {
        what: "the worst of these searches".to_owned(),
        figure,
        on: Storage::Simulated,
        goal: is_goal.then_some(Goal::SearchPage),
    });
    ratios.extend(worst);
    Told {
        name: "reads",
        title: format!("Reads at {large} profiles against {SMALLEST} (p50 of one client, over HTTP)"),
        rows: reads.into_iter().flat_map(|(_, few, many)| [few, many]).collect(),
        ratios,
        notes: Vec::new(),
    }
}
