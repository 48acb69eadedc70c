//! How what is told of a line becomes what is known of it.
//!
//! Details come in parts: an index knows the group, an event the reason of a suspension, the system of record all of it.
//! So what a source does not tell stays, and what it tells counts when it is the newer word. An older word fills gaps.

use chrono::{DateTime, TimeDelta, Utc};

use super::{LineDetails, LineOption, SuspendedBy};
use crate::observation::{NUMBER_LAG, REPLICA_LAG, Source};
use crate::sim::SimStatus;

/// How much a telling of a line counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Telling {
    /// Who says so.
    pub source: Source,
    /// The carrier's date, or the time of its reply.
    pub observed_at: DateTime<Utc>,
    /// Whether `observed_at` is the carrier's.
    pub dated_by_carrier: bool,
}

impl Telling {
    /// Whether it counts for more than what was known from `source` at `known_at`. Of two words of one moment the first
    /// stays. An index that lags does not undo what a better source said a moment ago.
    pub fn is_newer(&self, source: Source, known_at: DateTime<Utc>) -> bool {
        let undated_index = self.source == Source::Search && !self.dated_by_carrier;
        let better = !matches!(source, Source::Search | Source::Import);
        let lag = if undated_index && better { REPLICA_LAG } else { TimeDelta::zero() };
        self.observed_at - known_at > lag
    }

    /// Whether a number that it tells replaces another one, known since `known_at`. `status` is what it tells of the line
    /// beside it, `newest` whether that is the newest word on it. The system of record is believed. An index may still
    /// have a number of a while ago, and a report is of yesterday: neither takes a number back after a swap.
    pub fn renumbers(
        &self,
        status: Option<SimStatus>,
        newest: bool,
        known_at: Option<DateTime<Utc>>,
    ) -> bool {
        let later_by = |margin| newest && known_at.is_none_or(|at| self.observed_at - at > margin);
        match self.source {
            Source::Search => later_by(NUMBER_LAG),
            Source::Report => status.is_some_and(has_number) && later_by(TimeDelta::zero()),
            Source::Import | Source::Event | Source::Read | Source::Answer => true,
        }
    }

    /// Whether the options that it names are all that the line has. Events and answers name what they changed.
    fn lists_all_options(&self) -> bool {
        matches!(self.source, Source::Read | Source::Search | Source::Import | Source::Report)
    }
}

/// Whether a line of this status has its number: before its first use it may still get one, after its end somebody else
/// may.
fn has_number(status: SimStatus) -> bool {
    match status {
        SimStatus::Preactivated
        | SimStatus::Active
        | SimStatus::Suspended
        | SimStatus::TestMode
        | SimStatus::TariffHoliday => true,
        SimStatus::Available | SimStatus::Loaded | SimStatus::Terminated | SimStatus::Ceased => false,
    }
}

fn newest<T: Clone>(known: &Option<T>, told: &Option<T>, newer: bool) -> Option<T> {
    let (first, second) = if newer { (told, known) } else { (known, told) };
    first.as_ref().or(second.as_ref()).cloned()
}

/// Options in the order of their names, so that two lists of the same options are the same.
fn in_order(mut options: Vec<LineOption>) -> Vec<LineOption> {
    options.sort();
    options.dedup();
    options
}

impl LineDetails {
    /// Whether it tells nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is known after `told` was told. `newer` is what [`Telling::is_newer`] says, or true when nothing was known;
    /// `status` is the line's status after the telling.
    #[must_use]
    pub fn after(&self, told: &Self, how: &Telling, newer: bool, status: Option<SimStatus>) -> Self {
        Self {
            suspended_by: self.suspension(told, newer, status),
            rate_plan: newest(&self.rate_plan, &told.rate_plan, newer),
            options: self.options_after(told, how, newer),
            group: newest(&self.group, &told.group, newer),
            external_reference: newest(&self.external_reference, &told.external_reference, newer),
            activated_at: newest(&self.activated_at, &told.activated_at, newer),
            modified_at: self.modified_at.max(told.modified_at),
            contract_ends_at: newest(&self.contract_ends_at, &told.contract_ends_at, newer),
        }
    }

    /// Nobody suspends a line that is in another status. An older word may be of an earlier suspension.
    fn suspension(&self, told: &Self, newer: bool, status: Option<SimStatus>) -> Option<SuspendedBy> {
        if status.is_some_and(|status| status != SimStatus::Suspended) {
            return None;
        }
        told.suspended_by.filter(|_| newer).or(self.suspended_by)
    }

    fn options_after(&self, told: &Self, how: &Telling, newer: bool) -> Option<Vec<LineOption>> {
        let known = self.options.as_deref().unwrap_or_default();
        match &told.options {
            Some(told) if newer && how.lists_all_options() => Some(in_order(told.clone())),
            Some(told) if newer => {
                let kept = known.iter().filter(|known| told.iter().all(|told| told.name != known.name));
                Some(in_order(kept.chain(told).cloned().collect()))
            }
            // A list that is not complete is no list.
            Some(told) if how.lists_all_options() => {
                self.options.clone().or_else(|| Some(in_order(told.clone())))
            }
            Some(_) | None => self.options.clone(),
        }
    }

    /// The names of what differs in `now`, for an event. That a line was modified is told by what was.
    pub fn changes(&self, now: &Self) -> Vec<&'static str> {
        [
            ("suspended_by", self.suspended_by != now.suspended_by),
            ("rate_plan", self.rate_plan != now.rate_plan),
            ("options", self.options != now.options),
            ("group", self.group != now.group),
            ("external_reference", self.external_reference != now.external_reference),
            ("activated_at", self.activated_at != now.activated_at),
            ("contract_ends_at", self.contract_ends_at != now.contract_ends_at),
        ]
        .into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
    }

    fn telling(source: Source, second: i64) -> Telling {
        Telling { source, observed_at: at(second), dated_by_carrier: source == Source::Event }
    }

    fn options(options: &[(&str, &str)]) -> Option<Vec<LineOption>> {
        let option = |(name, value): &(&str, &str)| LineOption {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        Some(options.iter().map(option).collect())
    }

    fn grouped(group: &str) -> LineDetails {
        LineDetails { group: Some(group.to_owned()), ..LineDetails::default() }
    }

    #[test]
    fn the_newer_word_counts_and_an_older_one_fills_gaps() {
        let known = grouped("a");
        let told = LineDetails { rate_plan: Some("plan".to_owned()), ..grouped("b") };
        let read = telling(Source::Read, 10);
        let after = known.after(&told, &read, true, None);
        assert_eq!((after.group.as_deref(), after.rate_plan.as_deref()), (Some("b"), Some("plan")));
        let after = known.after(&told, &read, false, None);
        assert_eq!((after.group.as_deref(), after.rate_plan.as_deref()), (Some("a"), Some("plan")));
        assert_eq!(known.after(&LineDetails::default(), &read, true, None), known);
    }

    #[test]
    fn words_of_one_moment_and_of_an_index_that_lags() {
        assert!(!telling(Source::Read, 10).is_newer(Source::Read, at(10)));
        assert!(telling(Source::Read, 11).is_newer(Source::Event, at(10)));
        assert!(!telling(Source::Search, 60).is_newer(Source::Answer, at(0)));
        assert!(telling(Source::Search, 61).is_newer(Source::Answer, at(0)));
        assert!(telling(Source::Search, 1).is_newer(Source::Search, at(0)));
    }

    #[test]
    fn an_index_and_a_report_take_no_number_back() {
        let hour = 3_600;
        let active = Some(SimStatus::Active);
        let says = |source, second, status, newest, known: Option<i64>| {
            telling(source, second).renumbers(status, newest, known.map(at))
        };
        assert!(says(Source::Read, 0, None, false, Some(10)), "the system of record");
        assert!(says(Source::Search, 0, active, true, None));
        assert!(!says(Source::Search, 0, active, false, None), "its status is old");
        assert!(!says(Source::Search, hour, active, true, Some(0)));
        assert!(says(Source::Search, hour + 1, active, true, Some(0)));
        assert!(says(Source::Report, 1, active, true, Some(0)));
        assert!(!says(Source::Report, 0, active, true, Some(0)));
        assert!(!says(Source::Report, 1, active, false, None));
        for status in [None, Some(SimStatus::Available), Some(SimStatus::Terminated)] {
            assert!(!says(Source::Report, 1, status, true, None), "{status:?} has no number of its own");
        }
    }

    #[test]
    fn a_read_lists_all_options_and_an_event_what_it_changed() {
        let known = LineDetails { options: options(&[("A", "on"), ("B", "off")]), ..LineDetails::default() };
        let told = LineDetails { options: options(&[("B", "on")]), ..LineDetails::default() };
        let after = |source, newer| known.after(&told, &telling(source, 1), newer, None).options;
        assert_eq!(after(Source::Read, true), options(&[("B", "on")]));
        assert_eq!(after(Source::Event, true), options(&[("A", "on"), ("B", "on")]));
        assert_eq!(after(Source::Read, false), known.options);
        let nothing = LineDetails::default();
        assert_eq!(nothing.after(&told, &telling(Source::Event, 1), false, None).options, None);
        assert_eq!(nothing.after(&told, &telling(Source::Read, 1), false, None).options, told.options);
        let other_order = LineDetails { options: options(&[("B", "off"), ("A", "on")]), ..nothing };
        assert_eq!(known.after(&other_order, &telling(Source::Read, 1), true, None), known);
    }

    #[test]
    fn a_working_line_is_suspended_by_nobody() {
        let known = LineDetails { suspended_by: Some(SuspendedBy::Operator), ..LineDetails::default() };
        let silent = LineDetails::default();
        let event = telling(Source::Event, 1);
        let after = |told: &LineDetails, newer, status| known.after(told, &event, newer, status).suspended_by;
        assert_eq!(after(&silent, true, Some(SimStatus::Suspended)), Some(SuspendedBy::Operator));
        assert_eq!(after(&silent, true, None), Some(SuspendedBy::Operator));
        assert_eq!(after(&silent, false, Some(SimStatus::Active)), None);
        let told = LineDetails { suspended_by: Some(SuspendedBy::Customer), ..LineDetails::default() };
        assert_eq!(after(&told, true, Some(SimStatus::Suspended)), Some(SuspendedBy::Customer));
        assert_eq!(silent.after(&told, &event, false, Some(SimStatus::Suspended)).suspended_by, None);
    }

    #[test]
    fn being_modified_is_no_change_of_its_own() {
        let known = grouped("a");
        let modified = LineDetails { modified_at: Some(at(5)), ..grouped("a") };
        assert!(known.changes(&modified).is_empty());
        assert_eq!(known.changes(&grouped("b")), ["group"]);
        assert_eq!(known.after(&modified, &telling(Source::Read, 1), false, None), modified);
    }
}
