//! What the carrier says of a profile becomes the profile's record and its events.

use chrono::{DateTime, Utc};
use serde_json::json;
use simdepot_domain::carrier::{EsimReading, LineReading};
use simdepot_domain::drift::DriftKind;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::observation::{Lifecycle, Observation, Source, Verdict, weigh};
use simdepot_domain::profile::FormFactor;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::profiles::{self, Learned, Profile};
use simdepot_persistence::{Conn, events};

use crate::depot::Depot;
use crate::drifts::{self, Difference};
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
enum Seen<S> {
    /// Another status: an event. `impossible` when the carrier's documents do not know the move.
    Moved { to: Observation<S>, impossible: bool },
    /// The same status with a newer date of the carrier's: older news that come later must find it.
    Confirmed(Observation<S>),
    /// Nothing that is not known, or was not seen.
    Nothing,
    /// Older than what is known.
    Stale,
}

fn look_at<S: Lifecycle>(known: Option<&Observation<S>>, incoming: Option<Observation<S>>) -> Seen<S> {
    let Some(incoming) = incoming else {
        return Seen::Nothing;
    };
    match weigh(known, &incoming) {
        Verdict::Apply { changed: true, drift } => Seen::Moved { to: incoming, impossible: drift },
        Verdict::Apply { changed: false, .. } => {
            let newer = known.is_none_or(|known| known.observed_at < incoming.observed_at);
            if newer && incoming.dated_by_carrier { Seen::Confirmed(incoming) } else { Seen::Nothing }
        }
        Verdict::Stale => Seen::Stale,
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
    learn_from(conn, depot, profile, seen, Source::Read, now)
}

/// As [`learn`], with who told of the eSIM; the line's reading says it for itself.
///
/// # Errors
/// As [`learn`].
pub(crate) fn learn_from(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: Profile,
    seen: &Sightings,
    esim_source: Source,
    now: DateTime<Utc>,
) -> Result<Profile, AppError> {
    let mut learned = Learned::default();
    let (mut facts, mut impossible) = (Vec::new(), Vec::new());
    let line = seen.line.as_ref().and_then(|line| line_status(line, now));
    match look_at(profile.sim.as_ref(), line) {
        Seen::Moved { to: observation, impossible: drift } => {
            let from = profile.sim.as_ref().map(|known| known.status);
            let (to, source, observed_at) = (observation.status, observation.source, observation.observed_at);
            facts.push(Fact::SimStatusSeen { from, to, source, observed_at, drift });
            if let Some(from) = from.filter(|_| drift) {
                impossible.push((format!("sim_status {from} to {to}"), source, observed_at));
            }
            learned.sim = Some(observation);
        }
        Seen::Confirmed(observation) => learned.sim = Some(observation),
        Seen::Nothing | Seen::Stale => {}
    }
    let esim = seen.esim.as_ref().and_then(|esim| esim_status(esim, esim_source, now));
    let mut stale = false;
    match look_at(profile.esim.as_ref(), esim) {
        Seen::Moved { to: observation, impossible: drift } => {
            let from = profile.esim.as_ref().map(|known| known.status);
            let (to, source, observed_at) = (observation.status, observation.source, observation.observed_at);
            facts.push(Fact::EsimStatusSeen { from, to, source, observed_at, drift });
            if let Some(from) = from.filter(|_| drift) {
                impossible.push((format!("esim_status {from} to {to}"), source, observed_at));
            }
            learned.esim = Some(observation);
        }
        Seen::Confirmed(observation) => learned.esim = Some(observation),
        Seen::Nothing => {}
        Seen::Stale => stale = true,
    }
    if let Some(line) = &seen.line
        && line.msisdn.is_some()
        && line.msisdn != profile.msisdn
    {
        facts.push(Fact::MsisdnLearned { source: line.source });
        learned.msisdn.clone_from(&line.msisdn);
    }
    let edited = learn_device(&profile, seen, stale, &mut learned);
    if !edited.is_empty() {
        facts.push(Fact::ProfileEdited { fields: edited, pool: None });
    }
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
    for (about, source, observed_at) in impossible {
        let details = json!({ "source": source, "observed_at": observed_at });
        let difference = Difference { kind: DriftKind::ImpossibleMove, about, details };
        drifts::found(conn, depot, &mut profile, difference, now)?;
    }
    Ok(profile)
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
