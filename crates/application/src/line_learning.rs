//! What a reading tells of a line beside its status becomes the line's record.

use chrono::{DateTime, Utc};
use simdepot_domain::carrier::LineReading;
use simdepot_domain::event::Fact;
use simdepot_domain::line::{LineDetails, Telling};
use simdepot_domain::observation::Source;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::lines::{self, Line};
use simdepot_persistence::{Conn, StoreError};

/// What a reading amounts to for the line's record.
pub(crate) struct LineNews {
    profile_id: i64,
    keep: Line,
    /// What changed; empty when only a date did.
    changes: Vec<&'static str>,
}

impl LineNews {
    /// Weighs a reading of a profile's line against its record; `None` when there is nothing to write. `status` is the
    /// line's status once the reading is learned, `moved` whether that is another than before.
    pub(crate) fn of(
        conn: &mut Conn<'_>,
        profile_id: i64,
        reading: &LineReading,
        status: Option<SimStatus>,
        moved: bool,
    ) -> Result<Option<Self>, StoreError> {
        // A reading without details is news only when the line came out of a suspension.
        if reading.details.is_empty() && !moved {
            return Ok(None);
        }
        let known = lines::find(conn, profile_id)?;
        Ok(weigh(known.as_ref(), reading, status).map(|(keep, changes)| Self { profile_id, keep, changes }))
    }

    /// Writes the record, and returns the event's fact when something changed.
    pub(crate) fn write(self, conn: &mut Conn<'_>, told_by: Source) -> Result<Option<Fact>, StoreError> {
        let Line { details, source, observed_at } = self.keep;
        lines::keep(conn, self.profile_id, &details, source, observed_at)?;
        if self.changes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Fact::LineChanged {
            fields: self.changes.into_iter().map(str::to_owned).collect(),
            suspended_by: details.suspended_by,
            rate_plan: details.rate_plan,
            group: details.group,
            external_reference: details.external_reference,
            source: told_by,
        }))
    }
}

/// Whether a reading tells something else than the record, for whoever looks before taking the writer.
pub(crate) fn is_news(known: Option<&Line>, reading: &LineReading, status: Option<SimStatus>) -> bool {
    weigh(known, reading, reading.sim_status.or(status)).is_some()
}

/// The record after a reading, and what changed in it; `None` when it stays.
fn weigh(
    known: Option<&Line>,
    reading: &LineReading,
    status: Option<SimStatus>,
) -> Option<(Line, Vec<&'static str>)> {
    let how = Telling {
        source: reading.source,
        observed_at: told_at(reading),
        dated_by_carrier: reading.dated_by_carrier,
    };
    let nothing = LineDetails::default();
    let before = known.map_or(&nothing, |known| &known.details);
    let newer = known.is_none_or(|known| how.is_newer(known.source, known.observed_at));
    let after = before.after(&reading.details, &how, newer, status);
    let changes = before.changes(&after);
    // A date of the carrier's is kept: older news that come later must find it. The time of a reply alone is not worth a
    // write.
    let dated = newer && reading.dated_by_carrier && !reading.details.is_empty();
    if after == *before && !dated {
        return None;
    }
    let (source, observed_at) = match known {
        Some(known) if !newer => (known.source, known.observed_at),
        _ => (reading.source, how.observed_at),
    };
    Some((Line { details: after, source, observed_at }, changes))
}

/// The moment that the details are of. Where the carrier dates the status, its last modification may be later.
fn told_at(reading: &LineReading) -> DateTime<Utc> {
    let modified = reading.details.modified_at.filter(|_| reading.dated_by_carrier);
    modified.map_or(reading.observed_at, |modified| modified.max(reading.observed_at))
}
