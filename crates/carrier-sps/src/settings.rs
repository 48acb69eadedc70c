//! What the published pages leave to the contract, or do not say. Every default here is an assumption.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, FixedOffset, Offset, Utc};
use serde::Deserialize;
use simdepot_carrier_http::lenient::fold;
use simdepot_carrier_http::words::{self, Verdict};
use simdepot_domain::sim::SimStatus;
use strum::{AsRefStr, Display, EnumString, VariantArray};

use crate::notification::NotificationFields;
use crate::paths::Paths;
use crate::signature::WebhookSettings;

/// Last day of a month on which a bill cycle may start.
pub(crate) const LAST_BILL_DAY: u8 = 28;

/// How a subscription is looked for when only its SIM is known. One page says that device details are had by ICCID and
/// shows it in the parameter for devices, where its own pattern refuses it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, AsRefStr, Display, EnumString, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum IccidLookup {
    /// Not at all.
    #[default]
    Off,
    /// In the parameter `pei`, as the page's example shows it.
    Pei,
    /// In a parameter `iccid`, as the page's words have it.
    Iccid,
}

impl IccidLookup {
    /// The name of the parameter.
    pub(crate) fn parameter(self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Pei => Some("pei"),
            Self::Iccid => Some("iccid"),
        }
    }
}

/// By what a command names its line. The schema prints one variant, the sample the other; both exist.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, AsRefStr, Display, EnumString, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LineIdentifier {
    /// By its SIM, which is always known and never belongs to another line.
    #[default]
    Iccid,
    /// By its number, and by its SIM while the number is not known.
    Msisdn,
}

/// Words by which the operator says how a transaction stands. Letters alone count, in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusWords {
    /// It is done. `Success` is not among them: it is also how a request is acknowledged.
    pub terminal: Vec<String>,
    /// It failed.
    pub failed: Vec<String>,
    /// It goes on.
    pub pending: Vec<String>,
}

impl Default for StatusWords {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            terminal: words(&["Completed"]),
            failed: words(&["Failed"]),
            pending: words(&["Accepted", "InProgress", "Pending", "Processing", "Received", "Submitted"]),
        }
    }
}

impl StatusWords {
    /// What a status says.
    pub(crate) fn verdict(&self, status: &str) -> Verdict {
        words::verdict(status, &self.terminal, &self.failed, &self.pending)
    }
}

/// What the published pages leave open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpsSettings {
    /// Where the writes are.
    pub paths: Paths,
    /// How a transaction stands.
    pub words: StatusWords,
    /// What `deviceStatus` says of the line, by word.
    pub device_statuses: BTreeMap<String, SimStatus>,
    /// How a subscription is looked for by its SIM.
    pub iccid_lookup: IccidLookup,
    /// By what commands name their line.
    pub line_identifier: LineIdentifier,
    /// Statuses from which lines may be ceased although the page says that only active ones are.
    pub also_terminate: Vec<SimStatus>,
    /// Whether activations must fit the scenarios that the notes on their fields suggest: a number only with its
    /// reservation, an EID or a delivery only with a device.
    pub strict_scenarios: bool,
    /// The operator's time zone, which decides the day on which a bill cycle starts where nobody names one.
    pub bill_cycle_offset: FixedOffset,
    /// How notifications are proved.
    pub webhook: WebhookSettings,
    /// Where a notification says what.
    pub notification: NotificationFields,
}

impl Default for SpsSettings {
    fn default() -> Self {
        let status = |(word, status): (&str, SimStatus)| (word.to_owned(), status);
        let statuses = [
            ("Active", SimStatus::Active),
            ("Suspended", SimStatus::Suspended),
            ("Ceased", SimStatus::Ceased),
        ];
        Self {
            paths: Paths::default(),
            words: StatusWords::default(),
            device_statuses: statuses.into_iter().map(status).collect(),
            iccid_lookup: IccidLookup::default(),
            line_identifier: LineIdentifier::default(),
            also_terminate: Vec::new(),
            strict_scenarios: true,
            bill_cycle_offset: Utc.fix(),
            webhook: WebhookSettings::default(),
            notification: NotificationFields::default(),
        }
    }
}

impl SpsSettings {
    /// Checks what can be checked without asking the operator.
    ///
    /// # Errors
    /// The first setting that is wrong, and what it should be.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        const WORDS: &str =
            "a list of words such as Completed, none of them also in another list of statuses";
        let StatusWords { terminal, failed, pending } = &self.words;
        if !words::is_distinct(terminal, failed, pending) {
            return Err(("terminal_statuses", WORDS));
        }
        if !words::is_distinct(failed, terminal, pending) {
            return Err(("failed_statuses", WORDS));
        }
        if pending.iter().any(|word| fold(word).is_empty()) {
            return Err(("pending_statuses", WORDS));
        }
        let mut folded: Vec<String> = self.device_statuses.keys().map(|word| fold(word)).collect();
        folded.sort();
        folded.dedup();
        if folded.len() != self.device_statuses.len() || folded.iter().any(String::is_empty) {
            return Err(("device_statuses", "a table of different words, such as Active = \"active\""));
        }
        self.webhook.check()?;
        self.notification.check()
    }

    /// What the operator's word for a line's status says; `None` for one that nobody named.
    pub(crate) fn sim_status(&self, word: &str) -> Option<SimStatus> {
        let word = fold(word);
        self.device_statuses.iter().find(|(known, _)| fold(known) == word).map(|(_, status)| *status)
    }

    /// The day on which the bill cycle of an order of this moment starts: its day of the month where every month has it,
    /// else the first.
    pub(crate) fn bill_day(&self, ordered_at: DateTime<Utc>) -> u8 {
        let day = ordered_at.with_timezone(&self.bill_cycle_offset).day();
        u8::try_from(day).ok().filter(|day| *day <= LAST_BILL_DAY).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut SpsSettings)) -> &'static str {
        let mut settings = SpsSettings::default();
        change(&mut settings);
        settings.check().err().map_or("", |(field, _)| field)
    }

    #[test]
    fn names_the_setting_that_is_wrong() {
        assert_eq!(wrong(|_| ()), "");
        assert_eq!(wrong(|s| s.words.terminal.push("Success".into())), "");
        assert_eq!(wrong(|s| s.words.terminal.clear()), "terminal_statuses");
        assert_eq!(wrong(|s| s.words.terminal.push("in progress".into())), "terminal_statuses");
        assert_eq!(wrong(|s| s.words.terminal.push("FAILED".into())), "terminal_statuses");
        assert_eq!(wrong(|s| s.words.failed.push("200".into())), "failed_statuses");
        assert_eq!(wrong(|s| s.words.pending.push("-".into())), "pending_statuses");
        let twice = |s: &mut SpsSettings| {
            s.device_statuses.insert("ACTIVE".into(), SimStatus::Ceased);
        };
        assert_eq!(wrong(twice), "device_statuses");
        assert_eq!(wrong(|s| s.webhook.header = Some("X Y".into())), "webhook_header");
        assert_eq!(wrong(|s| s.notification.status = "a..b".into()), "notification.status");
    }

    #[test]
    fn words_in_any_case_and_never_more_than_was_named() {
        let mut words = StatusWords::default();
        assert_eq!(words.verdict("COMPLETED"), Verdict::Done);
        assert_eq!(words.verdict("failed"), Verdict::Failed);
        assert_eq!(words.verdict("IN_PROGRESS"), Verdict::Pending);
        for word in ["Success", "Complete", "", "Done", "2"] {
            assert_eq!(words.verdict(word), Verdict::Unrecognised, "{word}");
        }
        words.terminal.push("Success".to_owned());
        assert_eq!(words.verdict("Success"), Verdict::Done);
    }

    #[test]
    fn the_status_of_a_line_by_the_words_of_the_account() {
        let mut settings = SpsSettings::default();
        assert_eq!(settings.sim_status("ACTIVE"), Some(SimStatus::Active));
        assert_eq!(settings.sim_status("Hotlined"), None);
        settings.device_statuses.insert("Hotlined".to_owned(), SimStatus::Suspended);
        assert_eq!(settings.sim_status("hot-lined"), Some(SimStatus::Suspended));
    }

    #[test]
    fn a_bill_cycle_starts_on_a_day_of_every_month() {
        let mut settings = SpsSettings::default();
        let day = |settings: &SpsSettings, at: &str| settings.bill_day(at.parse().unwrap());
        assert_eq!(day(&settings, "2026-03-28T23:59:59Z"), 28);
        assert_eq!(day(&settings, "2026-03-29T00:00:00Z"), 1);
        assert_eq!(day(&settings, "2026-02-01T00:00:00Z"), 1);
        settings.bill_cycle_offset = FixedOffset::west_opt(6 * 3600).unwrap();
        assert_eq!(day(&settings, "2026-03-29T00:00:00Z"), 28);
        assert_eq!(day(&settings, "2026-03-10T05:00:00Z"), 9);
    }
}
