//! Profiles, orders and batches against their events.

use sha2::{Digest, Sha256};
use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::id::{ImportId, OrderId};
use simdepot_domain::import::ImportStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::events::{self, StoredEvent};
use simdepot_persistence::imports::Import;
use simdepot_persistence::orders::{Order, OrderFilter};
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::{Conn, imports, orders, profiles, verification};

use super::{CHUNK, Look, Report, by_subject, look_again};
use crate::depot::Depot;
use crate::error::AppError;
use crate::imports::digest_line;

pub(super) async fn verify_profiles(
    depot: &Depot,
    report: &mut Report,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), AppError> {
    let mut after = 0;
    loop {
        let (chunk, story) = depot
            .store
            .read(move |conn| {
                let chunk = verification::profiles_after(conn, after, CHUNK)?;
                let ids: Vec<String> = chunk.iter().map(|profile| profile.iccid.to_string()).collect();
                let story = events::of_subjects(conn, SubjectKind::Profile, &ids)?;
                Ok::<_, AppError>((chunk, story))
            })
            .await?;
        let Some(last) = chunk.last() else {
            return Ok(());
        };
        after = last.id;
        let story = by_subject(story, report);
        for profile in chunk {
            report.profiles += 1;
            let told = story.get(profile.iccid.as_str()).map_or(&[][..], Vec::as_slice);
            if profile_differs(&profile, told).is_some()
                && let Some(what) = look_again(depot, move |conn| look_at_profile(conn, profile.id)).await?
            {
                report.find(what);
            }
        }
        progress(report.rows());
    }
}

pub(super) async fn verify_orders(
    depot: &Depot,
    report: &mut Report,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), AppError> {
    let mut before = None;
    loop {
        let (chunk, story) = depot
            .store
            .read(move |conn| {
                let filter = OrderFilter { before, ..OrderFilter::default() };
                let chunk = orders::list(conn, &filter, CHUNK)?;
                let ids: Vec<String> = chunk.iter().map(|order| order.id.to_string()).collect();
                let story = events::of_subjects(conn, SubjectKind::Order, &ids)?;
                Ok::<_, AppError>((chunk, story))
            })
            .await?;
        let Some(last) = chunk.last() else {
            return Ok(());
        };
        before = Some(last.id);
        let story = by_subject(story, report);
        for order in chunk {
            report.orders += 1;
            let told = story.get(&order.id.to_string()).map_or(&[][..], Vec::as_slice);
            if order_differs(&order, told).is_some()
                && let Some(what) = look_again(depot, move |conn| look_at_order(conn, order.id)).await?
            {
                report.find(what);
            }
        }
        progress(report.rows());
    }
}

fn look_at_profile(conn: &mut Conn<'_>, id: i64) -> Result<Look, AppError> {
    let profile = profiles::get(conn, id)?;
    let story = events::of_subject(conn, SubjectKind::Profile, profile.iccid.as_str())?;
    Ok(match profile_differs(&profile, &story) {
        Some(what) => Look::Differs { what, version: profile.version },
        None => Look::Agrees,
    })
}

fn look_at_order(conn: &mut Conn<'_>, id: OrderId) -> Result<Look, AppError> {
    let order = orders::find(conn, id)?.ok_or(AppError::NotFound { what: "order" })?;
    let story = events::of_subject(conn, SubjectKind::Order, &id.to_string())?;
    Ok(match order_differs(&order, &story) {
        Some(what) => Look::Differs { what, version: order.version },
        None => Look::Agrees,
    })
}

/// How a profile differs from its story, if it does.
fn profile_differs(profile: &Profile, story: &[StoredEvent]) -> Option<String> {
    let iccid = &profile.iccid;
    let told = i64::try_from(story.len()).unwrap_or_default();
    if told != profile.version {
        return Some(format!("profile {iccid} is at version {} but has {told} events", profile.version));
    }
    let (mut status, mut held_by) = (profile.imported_as, None);
    for event in story {
        if let Fact::StockMoved { from, to, hold, .. } = &event.fact {
            if *from != status {
                return Some(format!(
                    "profile {iccid}: event {} moves from {from}, but it was {status}",
                    event.id
                ));
            }
            status = *to;
            held_by = hold.filter(|_| *to == StockStatus::Held);
        }
    }
    if status != profile.stock_status {
        return Some(format!("profile {iccid} is {} but its events say {status}", profile.stock_status));
    }
    (held_by != profile.hold).then(|| format!("profile {iccid} is held by another hold than its events say"))
}

/// How an order differs from its story, if it does.
fn order_differs(order: &Order, story: &[StoredEvent]) -> Option<String> {
    let told = i64::try_from(story.len()).unwrap_or_default();
    if told != order.version {
        return Some(format!("order {} is at version {} but has {told} events", order.id, order.version));
    }
    let mut status = OrderStatus::InProgress;
    for event in story {
        if let Fact::OrderStatusChanged { from, to } = &event.fact {
            if *from != status {
                return Some(format!(
                    "order {}: event {} moves from {from}, but it was {status}",
                    order.id, event.id
                ));
            }
            status = *to;
        }
    }
    if status != order.status {
        return Some(format!("order {} is {} but its events say {status}", order.id, order.status));
    }
    let accepted = story.iter().any(|event| matches!(event.fact, Fact::OrderAccepted { .. }));
    (accepted != order.accepted_at.is_some())
        .then(|| format!("order {} was accepted by a person, or not, other than its events say", order.id))
}

pub(super) async fn verify_batches(depot: &Depot, report: &mut Report) -> Result<(), AppError> {
    let mut before = None;
    loop {
        let batches = depot.store.read(move |conn| imports::list(conn, None, before, CHUNK)).await?;
        let Some(last) = batches.last() else {
            return Ok(());
        };
        before = Some(last.batch_no);
        for batch in batches {
            if batch.status != ImportStatus::Completed || batch.dry_run {
                continue;
            }
            report.batches += 1;
            if let Some(what) = verify_batch(depot, &batch).await? {
                report.find(what);
            }
        }
    }
}

async fn verify_batch(depot: &Depot, batch: &Import) -> Result<Option<String>, AppError> {
    let id = batch.id;
    let story =
        depot.store.read(move |conn| events::of_subject(conn, SubjectKind::Import, &id.to_string())).await?;
    let told = story.into_iter().find_map(|event| match event.fact {
        Fact::ImportCompleted { available, quarantined, digest, .. } => {
            Some((available, quarantined, digest))
        }
        _ => None,
    });
    let Some(told) = told else {
        return Ok(Some(format!("import {id} is completed but no event says so")));
    };
    let found = recount(depot, id).await?;
    Ok((found != told).then(|| {
        let ((a, q, _), (ta, tq, _)) = (&found, &told);
        format!("import {id} has {a} available and {q} quarantined profiles at its start; its event says {ta} and {tq}, or names other SIMs")
    }))
}

/// Counts and digest of a batch's first state, from its profiles.
async fn recount(depot: &Depot, id: ImportId) -> Result<(u64, u64, String), AppError> {
    let (mut available, mut quarantined, mut digest, mut after) = (0, 0, Sha256::new(), 0);
    loop {
        let chunk = depot.store.read(move |conn| verification::batch_after(conn, id, after, CHUNK)).await?;
        let Some((last, ..)) = chunk.last() else {
            return Ok((available, quarantined, hex::encode(digest.finalize())));
        };
        after = *last;
        for (_, iccid, status) in chunk {
            if status == StockStatus::Available {
                available += 1;
            } else {
                quarantined += 1;
            }
            digest.update(digest_line(&iccid, status));
        }
    }
}
