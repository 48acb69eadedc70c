//! What the carrier says of a profile becomes the profile's record and its events.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use serde_json::json;
use simdepot_domain::carrier::{EsimReading, LineReading};
use simdepot_domain::drift::DriftKind;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::line::Telling;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::{Lifecycle, Observation, Source, Verdict, weigh};
use simdepot_domain::profile::FormFactor;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::profiles::{self, Learned, Profile};
use simdepot_persistence::{Conn, events};
use strum::VariantArray;

use crate::depot::Depot;
use crate::drifts::{self, Difference, about_move};
use crate::error::AppError;
use crate::line_learning::LineNews;

/// The line's axis, in what a difference is about.
pub(crate) const SIM: &str = "sim_status";
/// The eSIM's axis.
pub(crate) const ESIM: &str = "esim_status";

/// What was read about one profile.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    /// The line.
    pub line: Option<LineReading>,
    /// The eSIM.
    pub esim: Option<EsimReading>,
    /// The carrier has no eSIM record: it is plastic.
    pub is_physical: bool,
}

fn line_status(line: &LineReading, received_at: DateTime<Utc>) -> Option<Observation<SimStatus>> {
    Some(Observation {
        status: line.sim_status?,
        observed_at: line.observed_at,
        dated_by_carrier: line.dated_by_carrier,
        received_at,
        source: line.source,
    })
}

fn esim_status(
    esim: &EsimReading,
    source: Source,
    received_at: DateTime<Utc>,
) -> Option<Observation<EsimStatus>> {
    Some(Observation {
        status: esim.status?,
        observed_at: esim.status_date.unwrap_or(esim.observed_at),
        dated_by_carrier: esim.status_date.is_some(),
        received_at,
        source,
    })
}

/// What a sighting of one axis amounts to.
struct AxisNews<S> {
    /// The observation to keep, when it is the newest word.
    keep: Option<Observation<S>>,
    /// The status before, when the kept one differs; and whether the carrier's documents do not know the move.
    moved: Option<(Option<S>, bool)>,
    /// A word that came late: something newer is known.
    late: Option<Observation<S>>,
}

fn look_at<S: Lifecycle>(known: Option<&Observation<S>>, incoming: Option<Observation<S>>) -> AxisNews<S> {
    let nothing = AxisNews { keep: None, moved: None, late: None };
    let Some(incoming) = incoming else {
        return nothing;
    };
    match weigh(known, &incoming) {
        Verdict::Apply { changed: true, drift } => {
            let from = known.map(|known| known.status);
            AxisNews { keep: Some(incoming), moved: Some((from, drift)), late: None }
        }
        // The same status. A newer date of the carrier's is kept: older news that come later must find it. So is the
        // first one after a delivery file, which has none.
        Verdict::Apply { changed: false, .. } => {
            let newer = known.is_none_or(|known| {
                known.source == Source::Import || known.observed_at < incoming.observed_at
            });
            AxisNews { keep: Some(incoming).filter(|seen| newer && seen.dated_by_carrier), ..nothing }
        }
        Verdict::Stale => AxisNews { late: Some(incoming), ..nothing },
    }
}

impl<S: Lifecycle + Display + VariantArray> AxisNews<S> {
    /// The move that the carrier's documents do not know, if it is one.
    fn impossible(&self, axis: &str) -> Option<Difference> {
        let (Some((Some(from), true)), Some(to)) = (&self.moved, &self.keep) else {
            return None;
        };
        let details = json!({ "source": to.source, "observed_at": to.observed_at });
        Some(Difference {
            kind: DriftKind::ImpossibleMove,
            about: about_move(axis, from, to.status),
            details,
        })
    }

    /// Lets a late word explain a move that seemed impossible without it.
    fn explain(
        &self,
        conn: &mut Conn<'_>,
        depot: &Depot,
        profile: &mut Profile,
        axis: &str,
        known: Option<S>,
        now: DateTime<Utc>,
    ) -> Result<(), AppError> {
        match (&self.late, known) {
            (Some(late), Some(known)) if late.dated_by_carrier => {
                drifts::explain(conn, depot, profile, axis, late.status, known, now)
            }
            _ => Ok(()),
        }
    }
}

/// The events that tell of the axes' moves.
fn facts_of(sim: &AxisNews<SimStatus>, esim: &AxisNews<EsimStatus>) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let (Some((from, drift)), Some(seen)) = (sim.moved, sim.keep) {
        let (to, source, observed_at) = (seen.status, seen.source, seen.observed_at);
        facts.push(Fact::SimStatusSeen { from, to, source, observed_at, drift });
    }
    if let (Some((from, drift)), Some(seen)) = (esim.moved, esim.keep) {
        let (to, source, observed_at) = (seen.status, seen.source, seen.observed_at);
        facts.push(Fact::EsimStatusSeen { from, to, source, observed_at, drift });
    }
    facts
}

/// The number that a reading gives a profile's line, when that is another than the known one and counts.
fn new_number<'a>(profile: &Profile, line: &'a LineReading, now: DateTime<Utc>) -> Option<&'a Msisdn> {
    let told = line.msisdn.as_ref().filter(|told| profile.msisdn.as_ref() != Some(*told))?;
    if profile.msisdn.is_none() {
        return Some(told);
    }
    let newest =
        line_status(line, now).is_some_and(|seen| weigh(profile.sim.as_ref(), &seen) != Verdict::Stale);
    let how = Telling {
        source: line.source,
        observed_at: line.observed_at,
        dated_by_carrier: line.dated_by_carrier,
    };
    how.renumbers(line.sim_status, newest, profile.msisdn_at).then_some(told)
}

/// Whether a line's reading tells another status or number that counts, for whoever looks before taking the writer.
pub(crate) fn is_news(profile: &Profile, line: &LineReading, now: DateTime<Utc>) -> bool {
    let moved = line_status(line, now).is_some_and(|seen| {
        matches!(weigh(profile.sim.as_ref(), &seen), Verdict::Apply { changed: true, .. })
    });
    moved || new_number(profile, line, now).is_some()
}

/// Records what was read, in the caller's transaction, and returns the profile as it is then.
///
/// A sighting that only confirms what is known writes nothing.
///
/// # Errors
/// [`AppError::Store`] with `RowsAffected` when somebody else changed the profile in between.
pub fn learn(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: Profile,
    seen: &Sightings,
    now: DateTime<Utc>,
) -> Result<Profile, AppError> {
    learn_from(conn, depot, profile, seen, Source::Read, now)
}

/// As [`learn`], with who told of the eSIM; the line's reading says it for itself.
///
/// # Errors
/// As [`learn`].
pub(crate) fn learn_from(
    conn: &mut Conn<'_>,
    depot: &Depot,
    mut profile: Profile,
    seen: &Sightings,
    esim_source: Source,
    now: DateTime<Utc>,
) -> Result<Profile, AppError> {
    let line = seen.line.as_ref().and_then(|line| line_status(line, now));
    let sim = look_at(profile.sim.as_ref(), line);
    let status = seen.esim.as_ref().and_then(|esim| esim_status(esim, esim_source, now));
    let esim = look_at(profile.esim.as_ref(), status);
    let mut facts = facts_of(&sim, &esim);
    let mut learned = Learned { sim: sim.keep, esim: esim.keep, ..Learned::default() };
    if let Some(line) = &seen.line
        && let Some(msisdn) = new_number(&profile, line, now)
    {
        facts.push(Fact::MsisdnLearned { source: line.source });
        learned.msisdn = Some(msisdn.clone());
        // What a report tells was so the day before.
        learned.msisdn_at = (line.source == Source::Report).then_some(line.observed_at);
    }
    let edited = learn_device(&profile, seen, esim.late.is_some(), &mut learned);
    if !edited.is_empty() {
        facts.push(Fact::ProfileEdited { fields: edited, pool: None, sell_by: None });
    }
    let (line_now, esim_now) =
        (profile.sim.as_ref().map(|seen| seen.status), profile.esim.as_ref().map(|seen| seen.status));
    sim.explain(conn, depot, &mut profile, SIM, line_now, now)?;
    esim.explain(conn, depot, &mut profile, ESIM, esim_now, now)?;
    facts.extend(learn_line(conn, &profile, seen, &sim)?);
    if facts.is_empty() && learned.sim.is_none() && learned.esim.is_none() {
        return Ok(profile);
    }
    profiles::learn(conn, &profile, &learned, facts.len(), now)?;
    let subject = || Subject::Profile(profile.iccid.clone());
    let events: Vec<_> = (profile.version + 1..)
        .zip(facts)
        .map(|(version, fact)| depot.event(now, subject(), version, fact))
        .collect();
    events::append(conn, &events)?;
    let mut profile = profiles::get(conn, profile.id)?;
    for difference in [sim.impossible(SIM), esim.impossible(ESIM)].into_iter().flatten() {
        drifts::found(conn, depot, &mut profile, difference, now)?;
    }
    Ok(profile)
}

/// Records what the line's reading tells beside its status and number. Returns the event's fact when something changed:
/// it moves the profile's version, so that of two who learn at once one decides again.
fn learn_line(
    conn: &mut Conn<'_>,
    profile: &Profile,
    seen: &Sightings,
    sim: &AxisNews<SimStatus>,
) -> Result<Option<Fact>, AppError> {
    let Some(reading) = &seen.line else {
        return Ok(None);
    };
    let status = sim.keep.or(profile.sim).map(|seen| seen.status);
    match LineNews::of(conn, profile.id, reading, status, sim.moved.is_some())? {
        Some(news) => Ok(news.write(conn, reading.source)?),
        None => Ok(None),
    }
}

/// An older word on the device fills a gap; it does not take the eSIM from a device that is known since.
fn learn_device(profile: &Profile, seen: &Sightings, stale: bool, learned: &mut Learned) -> Vec<String> {
    let mut fields = Vec::new();
    if let Some(eid) = seen.esim.as_ref().and_then(|esim| esim.eid.as_ref())
        && profile.eid.as_ref() != Some(eid)
        && (!stale || profile.eid.is_none())
    {
        learned.eid = Some(eid.clone());
        fields.push("eid".to_owned());
    }
    if seen.is_physical && profile.form_factor != FormFactor::Psim {
        learned.form_factor = Some(FormFactor::Psim);
        fields.push("form_factor".to_owned());
    }
    fields
}
