//! Profiles against their events: where they stand, whose they are, what was shown, and that their codes open.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use simdepot_domain::channel::PoolName;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::id::{HoldId, OrderId};
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::profile::{FormFactor, QuarantineReason};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::events::{self, StoredEvent};
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::verification::{self, SecretsSeen};
use simdepot_persistence::{Conn, pools};

use super::walk::{Kind, by_subject};
use super::{CHUNK, Report};
use crate::depot::Depot;
use crate::error::AppError;

/// Every profile.
pub(super) struct Profiles;

/// A profile with what stands elsewhere about it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    profile: Profile,
    pool: Option<PoolName>,
    /// Into which pool its delivery went, by the ledger; absent when that tells of no such delivery.
    delivered_into: Option<PoolName>,
    /// The order that has it.
    order: Option<OrderId>,
    secrets: SecretsSeen,
    /// Its pool activates subscriptions, and the code may come with the activation.
    code_comes_later: bool,
}

impl Kind for Profiles {
    type Row = Seen;
    const KIND: SubjectKind = SubjectKind::Profile;

    fn rows(conn: &mut Conn<'_>, depot: &Depot, after: Option<&Seen>) -> Result<Vec<Seen>, AppError> {
        let chunk = verification::profiles_after(conn, after.map_or(0, |seen| seen.profile.id), CHUNK)?;
        let ids: Vec<i64> = chunk.iter().map(|profile| profile.id).collect();
        let iccids: Vec<_> = chunk.iter().map(|profile| (profile.id, profile.iccid.clone())).collect();
        let pools: HashMap<i64, PoolSettings> =
            pools::list(conn)?.into_iter().map(|pool| (pool.id, pool.settings)).collect();
        let deliveries = deliveries(conn, &chunk)?;
        let mut orders = verification::live_orders(conn, &ids)?;
        let mut secrets = verification::check_secrets(conn, depot.store.vault(), &iccids)?;
        let seen = chunk.into_iter().map(|profile| Seen {
            pool: pools.get(&profile.pool_id).map(|pool| pool.pool.clone()),
            code_comes_later: pools.get(&profile.pool_id).is_some_and(|pool| pool.activation.is_some()),
            delivered_into: deliveries.get(&profile.import_id.to_string()).cloned(),
            order: orders.remove(&profile.id),
            secrets: secrets.remove(&profile.id).unwrap_or_default(),
            profile,
        });
        Ok(seen.collect())
    }

    fn subject(seen: &Seen) -> String {
        seen.profile.iccid.to_string()
    }

    fn version(seen: &Seen) -> i64 {
        seen.profile.version
    }

    fn differs(seen: &Seen, story: &[StoredEvent]) -> Option<String> {
        let iccid = &seen.profile.iccid;
        let Some(pool) = &seen.delivered_into else {
            let import = seen.profile.import_id;
            return Some(format!(
                "profile {iccid} came with import {import}, which is no delivery in the ledger"
            ));
        };
        let told = match Told::of(seen, pool, story) {
            Ok(told) => told,
            Err(what) => return Some(format!("profile {iccid}: {what}")),
        };
        told.stock(seen).or_else(|| told.rest(seen)).map(|what| format!("profile {iccid} {what}"))
    }

    fn count(report: &mut Report, seen: &Seen) {
        report.profiles += 1;
        report.secrets += seen.secrets.opened;
    }
}

/// The pools of the deliveries that these profiles came with, by import; of those that were not taken back.
fn deliveries(conn: &mut Conn<'_>, chunk: &[Profile]) -> Result<HashMap<String, PoolName>, AppError> {
    let mut imports: Vec<String> = chunk.iter().map(|profile| profile.import_id.to_string()).collect();
    imports.sort_unstable();
    imports.dedup();
    let told = by_subject(events::of_subjects(conn, SubjectKind::Import, &imports)?);
    let pool = |story: Vec<StoredEvent>| match story.into_iter().last()?.fact {
        Fact::ImportCompleted { pool, .. } => Some(pool),
        _ => None,
    };
    Ok(told.into_iter().filter_map(|(import, story)| Some((import, pool(story)?))).collect())
}

/// A profile as its events tell of it.
#[derive(Debug)]
struct Told<'a> {
    status: StockStatus,
    /// The last move.
    moved: Option<Moved>,
    pool: &'a PoolName,
    sell_by: Option<DateTime<Utc>>,
    revealed: bool,
    code_received: bool,
    plastic: bool,
    sim: Option<SimStatus>,
    esim: Option<EsimStatus>,
}

#[derive(Debug, Clone, Copy)]
struct Moved {
    order: Option<OrderId>,
    hold: Option<HoldId>,
    quarantine: Option<QuarantineReason>,
}

impl<'a> Told<'a> {
    /// Follows the events; an error tells which of them does not follow.
    fn of(seen: &Seen, delivered_into: &'a PoolName, story: &'a [StoredEvent]) -> Result<Self, String> {
        let mut told = Self {
            status: seen.profile.imported_as,
            moved: None,
            pool: delivered_into,
            sell_by: None,
            revealed: false,
            code_received: false,
            plastic: false,
            sim: None,
            esim: None,
        };
        for event in story {
            match &event.fact {
                Fact::StockMoved { from, to, order, hold, quarantine, .. } => {
                    if *from != told.status {
                        return Err(format!(
                            "event {} moves from {from}, but it was {}",
                            event.id, told.status
                        ));
                    }
                    told.status = *to;
                    told.moved = Some(Moved { order: *order, hold: *hold, quarantine: *quarantine });
                }
                Fact::ProfileEdited { fields, pool, sell_by } => {
                    told.pool = pool.as_ref().unwrap_or(told.pool);
                    told.plastic |= fields.iter().any(|field| field == "form_factor");
                    if let Some(moved) = sell_by {
                        if told.sell_by.is_some_and(|before| !same_moment(before, moved.from)) {
                            return Err(format!("event {} moves another last moment of sale", event.id));
                        }
                        told.sell_by = Some(moved.to);
                    }
                }
                Fact::CodeRevealed { .. } => told.revealed = true,
                Fact::CodeReceived {} => told.code_received = true,
                Fact::SimStatusSeen { to, .. } => told.sim = Some(*to),
                Fact::EsimStatusSeen { to, .. } => told.esim = Some(*to),
                _ => {}
            }
        }
        Ok(told)
    }

    /// Where it stands, and for whom.
    fn stock(&self, seen: &Seen) -> Option<String> {
        let profile = &seen.profile;
        if self.status != profile.stock_status {
            return Some(format!("is {} but its events say {}", profile.stock_status, self.status));
        }
        let at = |status| self.moved.filter(|_| self.status == status);
        if at(StockStatus::Held).and_then(|moved| moved.hold) != profile.hold {
            return Some("is held by another hold than its events say".to_owned());
        }
        let order = at(StockStatus::Allocated).and_then(|moved| moved.order);
        if order != seen.order {
            let shown =
                |order: Option<OrderId>| order.map_or("no order".to_owned(), |order| order.to_string());
            return Some(format!("belongs to {} but its events say {}", shown(seen.order), shown(order)));
        }
        let reason = at(StockStatus::Quarantined).and_then(|moved| moved.quarantine);
        if reason.is_some() && reason != profile.quarantine_reason {
            return Some("is set aside for another reason than its events say".to_owned());
        }
        let pool = seen.pool.as_ref();
        (pool != Some(self.pool)).then(|| {
            let there = pool.map_or("no pool", PoolName::as_str);
            format!("is in {there} but its events say {}", self.pool)
        })
    }

    /// What else its events tell.
    fn rest(&self, seen: &Seen) -> Option<String> {
        let profile = &seen.profile;
        if self.revealed != profile.revealed_at.is_some() {
            let (row, told) = if self.revealed { ("never", "it was") } else { ("before", "it was not") };
            return Some(format!("was {row} revealed by its row, but its events say that {told}"));
        }
        if self.sell_by.is_some_and(|told| !same_moment(told, profile.sell_by)) {
            return Some("is sold until another moment than its events say".to_owned());
        }
        let sim = profile.sim.as_ref().map(|seen| seen.status);
        if self.sim.is_some() && self.sim != sim {
            return Some("has its line in another status than its events say".to_owned());
        }
        let esim = profile.esim.as_ref().map(|seen| seen.status);
        if self.esim.is_some() && self.esim != esim {
            return Some("has its eSIM in another status than its events say".to_owned());
        }
        if self.plastic != (profile.form_factor == FormFactor::Psim) {
            return Some(format!("is a {}, which its events do not say", profile.form_factor));
        }
        if let Some(fault) = seen.secrets.fault {
            return Some(format!("has a sealed secret that is not its own: {fault}"));
        }
        let delivered_with = profile.imported_as == StockStatus::Available && !seen.code_comes_later;
        let needs_code = delivered_with || self.code_received;
        (needs_code && !seen.secrets.has_code).then(|| "has lost its activation code".to_owned())
    }
}

/// The databases keep microseconds, an event what the clock said.
pub(super) fn same_moment(one: DateTime<Utc>, other: DateTime<Utc>) -> bool {
    one.timestamp_micros() == other.timestamp_micros()
}
