//! The feed: dense, in order, chained.

use std::time::Duration;

use chrono::TimeDelta;
use simdepot_domain::id::EventId;
use simdepot_persistence::feed::{self, Fault, Position};

use super::{CHUNK, LOOKS, Report, SHOWN};
use crate::depot::Depot;
use crate::error::AppError;

/// An event that can be numbered is so within this time.
const NUMBERED_WITHIN: TimeDelta = TimeDelta::seconds(10);
/// Pause before what is late is looked at again.
const PAUSE: Duration = Duration::from_secs(1);

/// Recomputes every hash from the first entry on.
pub(super) async fn verify_chain(
    depot: &Depot,
    report: &mut Report,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), AppError> {
    let (mut from, mut faults) = (Position::start(), 0);
    loop {
        let at = from.clone();
        let checked = depot.store.read(move |conn| Ok::<_, AppError>(feed::check(conn, &at, CHUNK)?)).await?;
        if checked.entries == 0 {
            break;
        }
        report.entries += u64::try_from(checked.entries).unwrap_or_default();
        for fault in checked.faults {
            faults += 1;
            if faults <= SHOWN {
                report.find(told(&fault));
            }
        }
        from = checked.to;
        progress(report.rows());
    }
    if faults > SHOWN {
        report.find(format!("and {} more faults of the feed", faults - SHOWN));
    }
    verify_position(depot, report, &from).await
}

fn told(fault: &Fault) -> String {
    match fault {
        Fault::Gap { from, to } if from == to => format!("the feed lacks number {from}"),
        Fault::Gap { from, to } => format!("the feed lacks the numbers {from} to {to}"),
        Fault::EventGone { seq } => format!("the event with number {seq} of the feed is gone"),
        Fault::Hash { seq, event } => format!(
            "the hash of number {seq} of the feed does not follow: event {event}, its place or its hash was changed"
        ),
        Fault::Order { seq, event } => {
            format!("event {event} has number {seq} of the feed, before its subject's version before")
        }
    }
}

/// The position must be the end; on a live server it may have gone on since the end was read.
async fn verify_position(depot: &Depot, report: &mut Report, end: &Position) -> Result<(), AppError> {
    let seq = end.seq;
    let (position, there) = depot
        .store
        .read(move |conn| {
            let position = feed::position(conn)?;
            let there = feed::hash_at(conn, position.seq)?;
            Ok::<_, AppError>((position, there))
        })
        .await?;
    let begun = position.seq > 0;
    if position.seq < seq || (begun && there.is_none()) {
        report.find(format!(
            "the feed ends at number {seq}, but its position says {}: its end was cut off or added to",
            position.seq
        ));
    } else if begun && there.as_ref() != Some(&position.hash) {
        report.find(format!("the hash of the feed's position is not that of number {}", position.seq));
    }
    Ok(())
}

/// Every event has its number, but those of the last moments and those that an open transaction holds back.
pub(super) async fn verify_all_numbered(depot: &Depot, report: &mut Report) -> Result<(), AppError> {
    let mut look = 1;
    loop {
        let (lost, late) = depot
            .store
            .read(|conn| {
                let now = conn.now()?;
                Ok::<_, AppError>(feed::unnumbered(conn, now - NUMBERED_WITHIN, SHOWN)?)
            })
            .await?;
        // What is late may be on its way: a busy server catches up.
        if !late.is_empty() && look < LOOKS {
            look += 1;
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        if !lost.is_empty() {
            report.find(format!("the feed has passed events without a number: {}", named(&lost)));
        }
        if !late.is_empty() {
            report.find(format!("events wait for their number (is a server running?): {}", named(&late)));
        }
        return Ok(());
    }
}

fn named(events: &[EventId]) -> String {
    events.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
