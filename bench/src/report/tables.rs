//! The tables of the comparison.

use std::fmt::Write as _;

use strum::VariantArray as _;

use crate::cluster::Storage;
use crate::contender::Contender;
use crate::goals::{Goal, Ratio};
use crate::sample::{Figure, Sample, Samples};

/// Everything about one kind of storage; nothing when it was not measured.
pub(super) fn of_storage(samples: &Samples, storage: Storage) -> String {
    let measured: Vec<Contender> = Contender::VARIANTS
        .iter()
        .copied()
        .filter(|contender| !samples.clients(*contender, storage).is_empty())
        .collect();
    if measured.is_empty() {
        return String::new();
    }
    let mut text = format!("\n### {}\n", capitalised(storage.title()));
    if storage == Storage::Disk {
        text.push_str(
            "\nIt stands beside, with fewer contenders and numbers of clients, to keep the run short.\n",
        );
    }
    text.push_str(&goals(samples, storage));
    text.push_str(&rates(samples, storage, &measured));
    text.push_str(&latencies(samples, storage, &measured));
    text.push_str(&costs(samples, storage, &measured));
    text.push_str(&rows(samples, storage, &measured));
    text
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The ratios that are the result.
pub(super) fn ratios(samples: &Samples, storage: Storage) -> Vec<Ratio> {
    let own = |clients| samples.rate(Contender::Simdepot, storage, clients);
    let best = |contender| samples.best(contender, storage).map(|(_, figure)| figure);
    let at_64 = |contender| samples.rate(contender, storage, 64).or_else(|| best(contender));
    let p50 = |contender, clients| {
        samples.figure((contender, storage, clients), |sample| micros(sample.latency.p50))
    };
    let p99 = samples.figure((Contender::Simdepot, storage, 64), |sample| micros(sample.latency.p99));
    let limit = || best(Contender::PgbenchOne);
    let decided: [(Goal, Option<Figure>, Option<Figure>); 7] = [
        (Goal::Clients64, own(64), limit()),
        (Goal::Clients256, own(256), limit()),
        (Goal::Clients8, own(8), limit()),
        (Goal::Lone, p50(Contender::Simdepot, 1), p50(Contender::PgbenchOne, 1)),
        (Goal::Tail, p99, p50(Contender::Simdepot, 64)),
        (Goal::Fastify, own(64), at_64(Contender::FastifyStatements)),
        (Goal::Fastapi, own(64), at_64(Contender::FastapiStatements)),
    ];
    let shown: [(&str, Option<Figure>, Option<Figure>); 4] = [
        ("8 clients ÷ pgbench with 8", own(8), samples.rate(Contender::PgbenchOne, storage, 8)),
        ("64 clients ÷ Fastify + pg, one statement", own(64), at_64(Contender::FastifyOne)),
        ("64 clients ÷ FastAPI + asyncpg, one statement", own(64), at_64(Contender::FastapiOne)),
        ("64 clients ÷ FreeRADIUS' procedure at its best", own(64), best(Contender::Radius)),
    ];
    let decided = decided.into_iter().map(|(goal, over, under)| (goal.is().0, over, under, Some(goal)));
    let shown = shown.into_iter().map(|(what, over, under)| (what, over, under, None));
    let given = |(what, over, under, goal): (&str, Option<Figure>, Option<Figure>, Option<Goal>)| {
        Some(Ratio::of(what, over?, under?, storage).deciding(goal))
    };
    decided.chain(shown).filter_map(given).collect()
}

fn goals(samples: &Samples, storage: Storage) -> String {
    let ratios = ratios(samples, storage);
    if ratios.is_empty() {
        return String::new();
    }
    let lines: String = ratios.iter().map(Ratio::markdown).collect();
    format!("\n| simdepot | ratio (median; min–max) | goal at 1 ms |\n|---|--:|--:|\n{lines}")
}

fn micros(time: u64) -> f64 {
    crate::tools::float(time)
}

/// Rates as multiples of the database's best, and what they were here.
fn rates(samples: &Samples, storage: Storage, measured: &[Contender]) -> String {
    let mut all: Vec<u32> =
        measured.iter().flat_map(|contender| samples.clients(*contender, storage)).collect();
    all.sort_unstable();
    all.dedup();
    let limit = samples.best(Contender::PgbenchOne, storage).map(|(_, figure)| figure.median);
    let head: String = all.iter().map(|clients| format!(" {clients} |")).collect();
    let line: String = all.iter().map(|_| "--:|").collect();
    let mut text = String::new();
    if let Some(limit) = limit {
        let _ = write!(
            text,
            "\nOrders by clients, as multiples of pgbench's best with one statement per order:\n\n| clients |{head}\n|---|{line}\n"
        );
        for contender in measured {
            let _ = writeln!(
                text,
                "| {} |{}",
                contender.title(),
                cells(samples, (*contender, storage), &all, |figure| {
                    format!("{:.2}", figure.median / limit)
                })
            );
        }
    }
    let _ = write!(
        text,
        "\nContext, this machine on that day, orders per second (min–max):\n\n| clients |{head}\n|---|{line}\n"
    );
    for contender in measured {
        let _ = writeln!(
            text,
            "| {} |{}",
            contender.title(),
            cells(samples, (*contender, storage), &all, |figure| {
                format!("{:.0} ({:.0}–{:.0})", figure.median, figure.min, figure.max)
            })
        );
    }
    text
}

fn cells(
    samples: &Samples,
    (contender, storage): (Contender, Storage),
    all: &[u32],
    show: impl Fn(Figure) -> String,
) -> String {
    all.iter()
        .map(|clients| samples.rate(contender, storage, *clients).map_or_else(|| "–".to_owned(), &show))
        .map(|cell| format!(" {cell} |"))
        .collect()
}

/// Answer times, medians over the repetitions.
fn latencies(samples: &Samples, storage: Storage, measured: &[Contender]) -> String {
    let mut text =
        "\nAnswer times in milliseconds:\n\n| | clients | p50 | p90 | p99 | max |\n|---|--:|--:|--:|--:|--:|\n".to_owned();
    for contender in measured {
        for clients in samples
            .clients(*contender, storage)
            .into_iter()
            .filter(|clients| [1, 8, 64, 256].contains(clients))
        {
            let of = |part: fn(&Sample) -> u64| {
                let figure =
                    samples.figure((*contender, storage, clients), |sample| micros(part(sample)) / 1000.0);
                figure.map_or_else(String::new, |figure| format!("{:.2}", figure.median))
            };
            let _ = writeln!(
                text,
                "| {} | {clients} | {} | {} | {} | {} |",
                contender.title(),
                of(|sample| sample.latency.p50),
                of(|sample| sample.latency.p90),
                of(|sample| sample.latency.p99),
                of(|sample| sample.latency.max)
            );
        }
    }
    text
}

/// CPU, memory and log per order, with 64 clients or the most there were.
fn costs(samples: &Samples, storage: Storage, measured: &[Contender]) -> String {
    let mut text = "\nWhat an order costs, with 64 clients (CPU in µs; memory at the end in MiB; log in bytes):\n\n\
        | | service CPU | PostgreSQL CPU | load CPU | service memory | PostgreSQL memory | log | feed behind, s |\n\
        |---|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for contender in measured {
        let clients = samples.clients(*contender, storage);
        let Some(with) = clients.iter().find(|clients| **clients == 64).or(clients.last()).copied() else {
            continue;
        };
        let of = |part: fn(&Sample) -> f64| {
            let figure = samples.figure((*contender, storage, with), part).unwrap_or_default();
            format!("{:.0}", figure.median)
        };
        let feed = samples
            .figure((*contender, storage, with), |sample| sample.feed_seconds.unwrap_or_default())
            .filter(|_| *contender == Contender::Simdepot)
            .map_or_else(|| "–".to_owned(), |figure| format!("{:.1}", figure.median));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {feed} |",
            contender.title(),
            of(|sample| sample.service_cpu_micros),
            of(|sample| sample.database_cpu_micros),
            of(|sample| sample.load_cpu_micros),
            of(|sample| sample.service_mib),
            of(|sample| sample.database_mib),
            of(|sample| sample.wal_bytes)
        );
    }
    text
}

/// Rows per order by table: the same for all.
fn rows(samples: &Samples, storage: Storage, measured: &[Contender]) -> String {
    let mut text =
        "\nRows written per order (the feed's numbering and other work beside the orders left out):\n\n"
            .to_owned();
    for contender in measured.iter().filter(|contender| contender.writes_orders()) {
        let of = |sample: &&Sample| sample.contender == *contender && sample.storage == storage;
        let sample = samples.0.iter().rev().find(of);
        let rows = sample.map(|sample| &sample.rows).into_iter().flatten();
        let told: Vec<String> = rows
            .filter(|(_, rows)| **rows > 0.01)
            .map(|(table, rows)| format!("{table} {rows:.2}"))
            .collect();
        let clients = sample.map_or(0, |sample| sample.clients);
        let _ = writeln!(text, "* {}, {clients} clients: {}", contender.title(), told.join(", "));
    }
    text.push_str(
        "\n`stock_moves` gets a row per transaction: fewer than orders where several share one, so it is compared with those \
         of simdepot's lone client; not at all when there was none.\n",
    );
    text
}
