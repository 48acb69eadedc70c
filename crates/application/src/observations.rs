//! What the carrier says of a profile becomes the profile's record and its events.

use chrono::{DateTime, Utc};
use simdepot_domain::carrier::{EsimReading, LineReading};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::observation::{Lifecycle, Observation, Source, Verdict, weigh};
use simdepot_domain::profile::FormFactor;
use simdepot_persistence::profiles::{self, Learned, Profile};
use simdepot_persistence::{Conn, events};

use crate::depot::Depot;
use crate::error::AppError;

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

fn line_status(
    line: &LineReading,
    received_at: DateTime<Utc>,
) -> Option<Observation<simdepot_domain::sim::SimStatus>> {
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
    received_at: DateTime<Utc>,
) -> Option<Observation<simdepot_domain::esim::EsimStatus>> {
    Some(Observation {
        status: esim.status?,
        observed_at: esim.status_date.unwrap_or(esim.observed_at),
        dated_by_carrier: esim.status_date.is_some(),
        received_at,
        source: Source::Read,
    })
}

/// Keeps `incoming` if it is the newest word: the observation to store, and whether it is news.
fn accept<S: Lifecycle>(
    known: Option<&Observation<S>>,
    incoming: Option<Observation<S>>,
) -> Option<(Observation<S>, bool, bool)> {
    let incoming = incoming?;
    match weigh(known, &incoming) {
        Verdict::Apply { changed, drift } => Some((incoming, changed, drift)),
        Verdict::Stale => None,
    }
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
    let mut learned = Learned::default();
    let mut facts = Vec::new();
    let line = seen.line.as_ref().and_then(|line| line_status(line, now));
    if let Some((observation, true, drift)) = accept(profile.sim.as_ref(), line) {
        let from = profile.sim.as_ref().map(|known| known.status);
        let (to, source, observed_at) = (observation.status, observation.source, observation.observed_at);
        count_drift("sim", drift);
        facts.push(Fact::SimStatusSeen { from, to, source, observed_at, drift });
        learned.sim = Some(observation);
    }
    let esim = seen.esim.as_ref().and_then(|esim| esim_status(esim, now));
    if let Some((observation, true, drift)) = accept(profile.esim.as_ref(), esim) {
        let from = profile.esim.as_ref().map(|known| known.status);
        let (to, source, observed_at) = (observation.status, observation.source, observation.observed_at);
        count_drift("esim", drift);
        facts.push(Fact::EsimStatusSeen { from, to, source, observed_at, drift });
        learned.esim = Some(observation);
    }
    if let Some(line) = &seen.line
        && line.msisdn.is_some()
        && line.msisdn != profile.msisdn
    {
        facts.push(Fact::MsisdnLearned { source: line.source });
        learned.msisdn.clone_from(&line.msisdn);
    }
    let edited = learn_device(&profile, seen, &mut learned);
    if !edited.is_empty() {
        facts.push(Fact::ProfileEdited { fields: edited, pool: None });
    }
    if facts.is_empty() {
        return Ok(profile);
    }
    profiles::learn(conn, &profile, &learned, facts.len(), now)?;
    let subject = || Subject::Profile(profile.iccid.clone());
    let events: Vec<_> = (profile.version + 1..)
        .zip(facts)
        .map(|(version, fact)| depot.event(now, subject(), version, fact))
        .collect();
    events::append(conn, &events)?;
    Ok(profiles::get(conn, profile.id)?)
}

fn learn_device(profile: &Profile, seen: &Sightings, learned: &mut Learned) -> Vec<String> {
    let mut fields = Vec::new();
    if let Some(eid) = seen.esim.as_ref().and_then(|esim| esim.eid.as_ref())
        && profile.eid.as_ref() != Some(eid)
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

fn count_drift(axis: &'static str, drift: bool) {
    if drift {
        metrics::counter!("simdepot_drift_total", "axis" => axis).increment(1);
    }
}
