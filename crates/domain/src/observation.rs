//! How the carrier's axes move: by observations that may come late, twice and in any order.
//!
//! An observation carries the carrier's own date where it gives one, else the time of its reply. The newer date
//! wins; ties go to the later lifecycle rank, then to the later arrival. A move that the lifecycle table does not
//! allow is applied all the same, because the carrier knows better, and flagged as drift.
//!
//! What a delivery file says is of some day before it came, nobody knows which: the time of the import stands for it only
//! where nothing else does. Whatever the carrier dated itself, however long ago, and whatever was read since is newer.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

/// Clocks of two sources of one carrier may differ by this much.
pub const TIE_WINDOW: TimeDelta = TimeDelta::seconds(2);

/// A read may be served from a replica that lags behind the event stream by this much.
pub const REPLICA_LAG: TimeDelta = TimeDelta::seconds(60);

/// A fleet report is made once a day and says not when: what was seen since this long before it was handed in is newer.
pub const REPORT_AGE: TimeDelta = TimeDelta::days(1);

/// A search index may show a line's number of this long ago: which number a line has changes rarely.
pub const NUMBER_LAG: TimeDelta = TimeDelta::hours(1);

/// A carrier-owned axis: a rank along its life, and the moves that its documents describe.
pub trait Lifecycle: Copy + Eq {
    /// Position along the life; equal for states that alternate.
    fn rank(self) -> u8;
    /// Whether the documents know a direct move to `to`.
    fn allows(self, to: Self) -> bool;
}

/// Where an observation came from.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// The delivery file.
    Import,
    /// A carrier's webhook.
    Event,
    /// A read of the carrier's system of record.
    Read,
    /// A search index that lags behind.
    Search,
    /// The answer to one of our writes.
    Answer,
    /// The carrier's daily report of the whole fleet: of some moment of the day before it was handed in.
    Report,
}

/// One sighting of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation<S> {
    /// What was seen.
    pub status: S,
    /// The carrier's date, or the time of its reply.
    pub observed_at: DateTime<Utc>,
    /// Whether `observed_at` is the carrier's own date.
    pub dated_by_carrier: bool,
    /// When it reached us.
    pub received_at: DateTime<Utc>,
    /// Who said so.
    pub source: Source,
}

/// What to do with an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the newest word. `changed` when the status differs, `drift` when the tables do not know the move.
    Apply {
        /// The status differs from the one before.
        changed: bool,
        /// The lifecycle table does not allow this move.
        drift: bool,
    },
    /// Something newer is known: keep that.
    Stale,
}

/// Weighs `incoming` against what is known.
pub fn weigh<S: Lifecycle>(known: Option<&Observation<S>>, incoming: &Observation<S>) -> Verdict {
    let Some(known) = known else {
        return Verdict::Apply { changed: true, drift: false };
    };
    if is_newer(known, incoming) {
        let changed = known.status != incoming.status;
        Verdict::Apply { changed, drift: changed && !known.status.allows(incoming.status) }
    } else {
        Verdict::Stale
    }
}

/// Whether an observation counts for more than the word of a delivery file.
fn supersedes_file<S: Lifecycle>(seen: &Observation<S>, file: &Observation<S>) -> bool {
    // Neither is dated. A report tells of a fleet in use: what it has further along came after the delivery.
    if seen.source == Source::Report {
        return seen.status.rank() >= file.status.rank();
    }
    // Undated, it is a reply: of a clock that may differ from the one that dated the import.
    seen.dated_by_carrier || seen.observed_at - file.observed_at >= -TIE_WINDOW
}

fn is_newer<S: Lifecycle>(known: &Observation<S>, incoming: &Observation<S>) -> bool {
    match (known.source == Source::Import, incoming.source == Source::Import) {
        (true, false) => return supersedes_file(incoming, known),
        (false, true) => return !supersedes_file(known, incoming),
        (true, true) | (false, false) => {}
    }
    let gap = incoming.observed_at - known.observed_at;
    let tie = gap.is_zero() || (known.source != incoming.source && gap.abs() <= TIE_WINDOW);
    let (before, after) = (known.status.rank(), incoming.status.rank());
    if tie {
        return after > before || (after == before && incoming.received_at >= known.received_at);
    }
    let undated_read = !incoming.dated_by_carrier && incoming.source != Source::Event;
    if undated_read && known.source == Source::Event && after < before && gap < REPLICA_LAG {
        return false;
    }
    gap > TimeDelta::zero()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::esim::EsimStatus::{self, *};
    use proptest::prelude::*;

    fn seen(status: EsimStatus, second: i64, source: Source) -> Observation<EsimStatus> {
        let at = DateTime::from_timestamp(1_000_000 + second, 0).unwrap();
        Observation {
            status,
            observed_at: at,
            dated_by_carrier: source == Source::Event,
            received_at: at,
            source,
        }
    }

    #[test]
    fn first_word_is_taken() {
        let verdict = weigh(None, &seen(Deleted, 0, Source::Read));
        assert_eq!(verdict, Verdict::Apply { changed: true, drift: false });
    }

    #[test]
    fn older_never_overwrites_newer() {
        let known = seen(Enabled, 100, Source::Event);
        assert_eq!(weigh(Some(&known), &seen(Installed, 50, Source::Event)), Verdict::Stale);
    }

    #[test]
    fn ties_go_to_the_later_rank_then_to_the_later_arrival() {
        let known = seen(Installed, 100, Source::Event);
        let later_rank = seen(Enabled, 100, Source::Event);
        assert!(matches!(weigh(Some(&known), &later_rank), Verdict::Apply { changed: true, drift: false }));
        assert_eq!(weigh(Some(&later_rank), &known), Verdict::Stale);
        // Across sources two seconds are a tie as well.
        assert_eq!(
            weigh(Some(&seen(Enabled, 100, Source::Event)), &seen(Installed, 101, Source::Read)),
            Verdict::Stale
        );
        // Enabled and disabled rank alike: the later arrival wins.
        assert!(matches!(
            weigh(Some(&seen(Enabled, 100, Source::Event)), &seen(Disabled, 100, Source::Event)),
            Verdict::Apply { changed: true, .. }
        ));
    }

    #[test]
    fn an_undated_read_does_not_undo_a_fresh_event() {
        let known = seen(Enabled, 100, Source::Event);
        assert_eq!(weigh(Some(&known), &seen(Released, 130, Source::Read)), Verdict::Stale);
        assert_eq!(
            weigh(Some(&known), &seen(Released, 200, Source::Read)),
            Verdict::Apply { changed: true, drift: true }
        );
    }

    /// Every pair of statuses, around the import: what the carrier dated wins whenever that was, an undated read only
    /// once it is not older, and the file's word never comes back.
    #[test]
    fn a_delivery_file_is_undated() {
        use crate::sim::SimStatus;
        use strum::VariantArray;
        let of = |status, second: i64, source, dated_by_carrier| {
            let at = DateTime::from_timestamp(1_000_000 + second, 0).unwrap();
            Observation { status, observed_at: at, dated_by_carrier, received_at: at, source }
        };
        let seconds = [-864_000, -61, -3, -2, -1, 0, 1, 2, 59, 61, 864_000];
        for in_file in SimStatus::VARIANTS {
            let file = of(*in_file, 0, Source::Import, false);
            for seen in SimStatus::VARIANTS {
                for source in [Source::Event, Source::Read, Source::Search, Source::Answer] {
                    for (second, dated) in
                        seconds.iter().flat_map(|second| [(*second, true), (*second, false)])
                    {
                        let seen = of(*seen, second, source, dated);
                        let newer = dated || second >= -2;
                        let verdict = weigh(Some(&file), &seen);
                        if newer {
                            let changed = seen.status != *in_file;
                            let drift = changed && !in_file.allows(seen.status);
                            assert_eq!(verdict, Verdict::Apply { changed, drift }, "{file:?} {seen:?}");
                            assert_eq!(weigh(Some(&seen), &file), Verdict::Stale, "{seen:?} {file:?}");
                        } else {
                            assert_eq!(verdict, Verdict::Stale, "{file:?} {seen:?}");
                        }
                    }
                }
            }
        }
    }

    fn any_observation() -> impl Strategy<Value = Observation<EsimStatus>> {
        use strum::VariantArray;
        (prop::sample::select(EsimStatus::VARIANTS), 0i64..500)
            .prop_map(|(status, second)| seen(status, second * 10, Source::Event))
    }

    fn any_delivery() -> impl Strategy<Value = Observation<EsimStatus>> {
        any_observation().prop_map(|seen| Observation {
            source: Source::Import,
            dated_by_carrier: false,
            ..seen
        })
    }

    proptest! {
        /// Where a delivery file came among the carrier's dated events makes no difference.
        #[test]
        fn a_delivery_file_leaves_no_trace(
            events in prop::collection::vec(any_observation(), 1..8), file in any_delivery(), place in 0usize..8
        ) {
            let fold = |list: &[Observation<EsimStatus>]| {
                list.iter().fold(None, |known: Option<Observation<EsimStatus>>, next| match weigh(known.as_ref(), next) {
                    Verdict::Apply { .. } => Some(*next),
                    Verdict::Stale => known,
                })
            };
            let mut with_file = events.clone();
            with_file.insert(place.min(events.len()), file);
            prop_assert_eq!(fold(&with_file), fold(&events));
        }

        /// Events of one source end in the same state in whatever order they arrive.
        #[test]
        fn order_of_arrival_does_not_matter(mut observations in prop::collection::vec(any_observation(), 1..8), seed: u64) {
            let fold = |list: &[Observation<EsimStatus>]| {
                list.iter().fold(None, |known: Option<Observation<EsimStatus>>, next| match weigh(known.as_ref(), next) {
                    Verdict::Apply { .. } => Some(*next),
                    Verdict::Stale => known,
                }).map(|last| (last.observed_at, last.status.rank()))
            };
            let straight = fold(&observations);
            let shift = usize::try_from(seed % 8).unwrap() % observations.len();
            observations.rotate_left(shift);
            prop_assert_eq!(straight, fold(&observations));
            observations.reverse();
            prop_assert_eq!(straight, fold(&observations));
        }
    }
}
