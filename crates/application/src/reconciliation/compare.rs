//! One profile compared with its carrier.
//!
//! Everything is read outside transactions first. A read that fails or is denied is "not known", and nothing follows
//! from it; least of all "nothing there".

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use simdepot_domain::carrier::BundleReading;
use simdepot_domain::channel::AccountName;
use simdepot_domain::drift::{DriftKind, DriftStatus};
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::reconciliation::LOOK_TWICE;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::bundles::Bundle;
use simdepot_persistence::drifts::Drift;
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, bundles, drifts, operations, pools};

use super::readings::{Readings, read};
use crate::adoption::{self, Known, Met, Stranger};
use crate::bundle_sightings::{self, Told};
use crate::depot::Depot;
use crate::drifts::{Difference, close, found, found_over};
use crate::error::AppError;
use crate::observations::{self, ESIM, SIM, Sightings};
use crate::operations::{Seen, Unnamed, name_listed};
use crate::stock_watch;

/// What a whole SIM is suspected of.
const WHOLE_SIM: &str = "sim";
/// How long an impossible move stays open. It is something that happened and not a state, so that nothing takes it back;
/// a daily look finds it.
const MOVE_STAYS: TimeDelta = TimeDelta::days(1);

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Something could not be read.
    pub(crate) unread: bool,
    /// What differs.
    pub(crate) found: Vec<DriftKind>,
    /// How much of it a rule has made right.
    pub(crate) healed: u64,
    /// Something was not found; another comparison must tell.
    pub(crate) suspected: bool,
}

/// Compares a profile with its carrier.
///
/// # Errors
/// When the store cannot be asked.
pub(crate) async fn compare(depot: &Depot, profile: &Profile) -> Result<Compared, AppError> {
    let pool_id = profile.pool_id;
    let pool = depot.store.read(move |conn| pools::get(conn, pool_id)).await?;
    let name = pool.settings.carrier_account;
    let Ok(account) = depot.account(&name) else {
        tracing::warn!(iccid = %profile.iccid, account = %name, "the account of a profile is not configured");
        return Ok(Compared { unread: true, ..Compared::default() });
    };
    let readings = read(account.carrier.as_ref(), profile, depot.now()).await;
    let (work, id) = (depot.clone(), profile.id);
    let compared = depot.write_again(move |conn| judge(conn, &work, &name, id, &readings)).await;
    match compared {
        Err(error) if error.is_race() => {
            tracing::info!(iccid = %profile.iccid, %error, "a comparison met concurrent changes");
            Ok(Compared { unread: true, ..Compared::default() })
        }
        other => other,
    }
}

/// One comparison in its transaction.
struct Judge<'a, 'c> {
    conn: &'a mut Conn<'c>,
    depot: &'a Depot,
    account: &'a AccountName,
    profile: Profile,
    now: DateTime<Utc>,
    /// What was open before.
    open: Vec<Drift>,
    compared: Compared,
}

fn judge(
    conn: &mut Conn<'_>,
    depot: &Depot,
    account: &AccountName,
    profile_id: i64,
    readings: &Readings,
) -> Result<Compared, AppError> {
    let now = depot.now();
    let profile = profiles::lock(conn, profile_id)?;
    let open = open_drifts(conn, profile_id)?;
    let seen = Sightings {
        line: readings.line.clone().flatten(),
        esim: readings.esim.clone().flatten(),
        is_physical: is_plastic(&profile, readings),
    };
    let profile = observations::learn(conn, depot, profile, &seen, now)?;
    let compared = Compared { unread: readings.failed, ..Compared::default() };
    let mut judge = Judge { conn, depot, account, profile, now, open, compared };
    judge.moves(readings)?;
    let listed = readings.bundles.as_deref();
    if let Some(listed) = listed {
        judge.bundles(listed, readings.asked_at)?;
    }
    let has_bundle = listed.is_some_and(|listed| !listed.is_empty());
    if stock_watch::watch(judge.conn, depot, &mut judge.profile, has_bundle, now)? {
        judge.compared.found.push(DriftKind::InUseUnsold);
        judge.compared.healed += 1;
    }
    judge.known_to_carrier(readings)?;
    Ok(judge.compared)
}

/// A line that was adopted in service, without a file that says what it is on: where the carrier knows the line and has no
/// eSIM record, it is on plastic.
fn is_plastic(profile: &Profile, readings: &Readings) -> bool {
    let adopted = profile.quarantine_reason == Some(QuarantineReason::InService) && profile.esim.is_none();
    adopted && matches!((&readings.line, &readings.esim), (Some(Some(_)), Some(None)))
}

pub(super) fn open_drifts(conn: &mut Conn<'_>, profile_id: i64) -> Result<Vec<Drift>, AppError> {
    let mut drifts = drifts::of_profile(conn, profile_id)?;
    drifts.retain(|drift| drift.status == DriftStatus::Open);
    Ok(drifts)
}

/// How many impossible moves were found since `before` was read, in the same transaction.
pub(super) fn moved_since(conn: &mut Conn<'_>, profile_id: i64, before: &[Drift]) -> Result<usize, AppError> {
    let was =
        |drift: &Drift| before.iter().any(|was| was.id == drift.id && was.last_seen_at == drift.last_seen_at);
    let open = open_drifts(conn, profile_id)?;
    Ok(open.iter().filter(|drift| drift.kind == DriftKind::ImpossibleMove && !was(drift)).count())
}

impl Judge<'_, '_> {
    /// Closes what is open of a kind and about something that `is_over` accepts.
    fn close(
        &mut self,
        kind: DriftKind,
        status: DriftStatus,
        is_over: impl Fn(&str) -> bool,
    ) -> Result<(), AppError> {
        let over = self.open.extract_if(.., |drift| drift.kind == kind && is_over(&drift.subject));
        for drift in over.collect::<Vec<_>>() {
            close(self.conn, self.depot, &mut self.profile, &drift, status, self.now)?;
        }
        Ok(())
    }

    /// An impossible move is over with the first comparison after a while that reads its axis and does not find it.
    fn moves(&mut self, readings: &Readings) -> Result<(), AppError> {
        let new = moved_since(self.conn, self.profile.id, &self.open)?;
        self.compared.found.extend(std::iter::repeat_n(DriftKind::ImpossibleMove, new));
        let line = readings.line.iter().flatten().any(|line| line.sim_status.is_some());
        let esim = readings.esim.iter().flatten().any(|esim| esim.status.is_some());
        let old: Vec<String> = open_drifts(self.conn, self.profile.id)?
            .into_iter()
            .filter(|drift| self.now - drift.last_seen_at >= MOVE_STAYS)
            .map(|drift| drift.subject)
            .collect();
        self.close(DriftKind::ImpossibleMove, DriftStatus::Gone, |about| {
            let axis_read = (line && about.starts_with(SIM)) || (esim && about.starts_with(ESIM));
            axis_read && old.iter().any(|subject| subject == about)
        })
    }

    /// Compares the bundles with the carrier's complete list.
    fn bundles(&mut self, listed: &[BundleReading], asked_at: DateTime<Utc>) -> Result<(), AppError> {
        let busy = operations::open_sale_of(self.conn, self.profile.id)?;
        let unnamed = name_listed(self.conn, self.depot, self.account, &self.profile, listed, self.now)?;
        let mut strangers = Vec::new();
        for reading in listed {
            let id = reading.subscription_id.as_str();
            match bundles::of_subscription(self.conn, self.account, id)? {
                Some(bundle) => {
                    if bundle.profile_id == self.profile.id {
                        let told = Told::reading(reading, asked_at);
                        bundle_sightings::tell(
                            self.conn,
                            self.depot,
                            &self.profile.iccid,
                            &bundle,
                            &told,
                            self.now,
                        )?;
                    }
                    self.settle(&bundle, reading)?;
                    self.is_there(id)?;
                    self.is_there(&bundle.id.to_string())?;
                }
                // The operation may have placed it: its outcome is decided by who knows what was there before.
                None => {
                    strangers.push(reading);
                    match &busy {
                        Some(operation) => Seen::listed(reading).tell(self.conn, operation)?,
                        None => self.unexpected(reading, asked_at)?,
                    }
                }
            }
        }
        let is_listed = |id: &str| listed.iter().any(|reading| reading.subscription_id == id);
        let ours = bundles::of_profile(self.conn, self.profile.id)?;
        // What was adopted under suspicion ends with the bundle. That a list leaves it out is told as a missing bundle.
        let may_be_paid_twice = |id: &str| {
            let of_id = |bundle: &&Bundle| bundle.subscription_id.as_deref() == Some(id);
            ours.iter().find(of_id).is_some_and(|bundle| bundle.is_adopted() && !bundle.status.is_final())
        };
        self.close(DriftKind::UnexpectedBundle, DriftStatus::Gone, |about| {
            !is_listed(about) && !may_be_paid_twice(about)
        })?;
        for bundle in ours {
            if let Some(id) = bundle.subscription_id.clone().filter(|id| !is_listed(id)) {
                self.missing(&bundle, &id)?;
            }
        }
        for unnamed in &unnamed {
            self.unnamed(unnamed, &strangers)?;
        }
        Ok(())
    }

    /// A bundle that a person called done without naming it. When nothing on the line can be it, that person was wrong.
    fn unnamed(&mut self, unnamed: &Unnamed, strangers: &[&BundleReading]) -> Result<(), AppError> {
        let id = unnamed.bundle().id.to_string();
        let may_be = |reading: &&BundleReading| {
            unnamed.may_be(&reading.subscription_id, Some(&reading.product), reading.reference.as_deref())
        };
        if strangers.iter().any(may_be) {
            return self.is_there(&id);
        }
        self.missing(unnamed.bundle(), &id)
    }

    /// What was missing is not.
    fn is_there(&mut self, about: &str) -> Result<(), AppError> {
        drifts::clear(self.conn, self.profile.id, DriftKind::MissingBundle, about)?;
        self.close(DriftKind::MissingBundle, DriftStatus::Gone, |missing| missing == about)
    }

    fn unexpected(&mut self, reading: &BundleReading, asked_at: DateTime<Utc>) -> Result<(), AppError> {
        let told = Told::reading(reading, asked_at);
        let stranger = Stranger::listed(reading, &told);
        let met = adoption::meet(self.conn, self.depot, self.account, &mut self.profile, stranger, self.now)?;
        match met {
            Met::Differs | Met::MayBeUnnamed => self.compared.found.push(DriftKind::UnexpectedBundle),
            Met::Adopted => {
                self.compared.found.push(DriftKind::UnexpectedBundle);
                self.compared.healed += 1;
                self.forget(&reading.subscription_id);
            }
            Met::Over => self.forget(&reading.subscription_id),
        }
        Ok(())
    }

    /// What a subscription that is a bundle of ours may have been thought to be.
    fn settle(&mut self, bundle: &Bundle, reading: &BundleReading) -> Result<(), AppError> {
        let known = Known::listed(bundle, reading);
        if adoption::settle(self.conn, self.depot, &mut self.profile, known, self.now)? {
            self.compared.found.push(DriftKind::UnexpectedBundle);
        } else {
            self.forget(&reading.subscription_id);
        }
        Ok(())
    }

    /// A difference about a subscription is closed.
    fn forget(&mut self, id: &str) {
        self.open.retain(|drift| drift.kind != DriftKind::UnexpectedBundle || drift.subject != id);
    }

    /// A bundle of ours that a complete list leaves out, under its subscription, or under its own id when nobody named
    /// that. One list may be wrong; the next one must leave it out as well.
    fn missing(&mut self, bundle: &Bundle, id: &str) -> Result<(), AppError> {
        let kind = DriftKind::MissingBundle;
        if bundle.status.is_final() || bundle.carrier_account != *self.account {
            return self.is_there(id);
        }
        if !self.suspected_twice(kind, id)? {
            return Ok(());
        }
        let details = json!({ "bundle": bundle.id, "product": bundle.product, "status": bundle.status });
        let difference = Difference { kind, about: id.to_owned(), details };
        found(self.conn, self.depot, &mut self.profile, difference, self.now)?;
        self.compared.found.push(kind);
        Ok(())
    }

    /// Whether a suspicion is old enough to count; else it is kept.
    fn suspected_twice(&mut self, kind: DriftKind, subject: &str) -> Result<bool, AppError> {
        if self.open.iter().any(|drift| drift.kind == kind && drift.subject == subject) {
            return Ok(true);
        }
        let now = self.conn.now()?;
        let since = drifts::suspect(self.conn, self.profile.id, kind, subject, now)?;
        if now - since < LOOK_TWICE {
            self.compared.suspected = true;
            return Ok(false);
        }
        drifts::clear(self.conn, self.profile.id, kind, subject)?;
        Ok(true)
    }

    /// A SIM that the carrier knows neither as a line nor as an eSIM, by two comparisons.
    fn known_to_carrier(&mut self, readings: &Readings) -> Result<(), AppError> {
        let kind = DriftKind::UnknownToCarrier;
        let known = readings.line.iter().flatten().next().is_some()
            || readings.esim.iter().flatten().next().is_some();
        if known {
            drifts::clear(self.conn, self.profile.id, kind, WHOLE_SIM)?;
            return self.close(kind, DriftStatus::Gone, |_| true);
        }
        let unknown = matches!((&readings.line, &readings.esim), (Some(None), Some(None)));
        // Our books say nothing else of what is set aside or out of the stock.
        let of_interest = match self.profile.stock_status {
            StockStatus::Available | StockStatus::Held | StockStatus::Allocated => true,
            StockStatus::Quarantined | StockStatus::Retired => false,
        };
        if !unknown || !of_interest || !self.suspected_twice(kind, WHOLE_SIM)? {
            return Ok(());
        }
        let details = json!({ "stock_status": self.profile.stock_status });
        let difference = Difference { kind, about: WHOLE_SIM.to_owned(), details };
        self.compared.found.push(kind);
        if stock_watch::is_unsold(&self.profile) {
            let reason = QuarantineReason::UnknownToCarrier;
            stock_watch::set_aside(self.conn, self.depot, &mut self.profile, reason, self.now)?;
            self.compared.healed += 1;
            return found_over(
                self.conn,
                self.depot,
                &mut self.profile,
                difference,
                DriftStatus::Healed,
                self.now,
            );
        }
        found(self.conn, self.depot, &mut self.profile, difference, self.now)?;
        Ok(())
    }
}
