//! How an endpoint does, by what came back from it: when it is tried again, whatever waits for it.
//!
//! Each delivery has a schedule of its own; this is the pause of the whole endpoint, so that a dead one with many
//! deliveries is asked now and then and not once for each of them.

use chrono::{DateTime, TimeDelta, Utc};

use super::Reply;
use super::retry::asked_for;

/// Seconds without a try after so many failures in a row; the last one stays. None is longer than what the delivery
/// that failed waits by its own schedule, so an endpoint with one delivery at a time keeps exactly to that.
const PAUSES: [i64; 3] = [5, 30, 300];

/// How an endpoint does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Tries in a row that failed; of those that were under way together one is counted.
    pub failures: u32,
    /// No try before this moment.
    pub not_before: Option<DateTime<Utc>>,
}

impl Health {
    /// Whether its last try failed: it gets one at a time, and not on every worker.
    pub fn is_failing(self) -> bool {
        self.failures > 0
    }

    /// Whether it may have a try now.
    pub fn is_due(self, now: DateTime<Utc>) -> bool {
        self.not_before.is_none_or(|moment| moment <= now)
    }

    /// The same endpoint, to be tried at once: its owner says so.
    #[must_use]
    pub fn at_once(self) -> Self {
        Self { not_before: None, ..self }
    }

    /// How it does after a reply to a try that was sent when it did as in `sent`.
    #[must_use]
    pub fn after(self, reply: &Reply, sent: Self, now: DateTime<Utc>) -> Self {
        if reply.is_success() {
            // Sent before the endpoint asked for time, it does not take that back; a pause that failures alone made is
            // over. Only one that was asked for can be longer than theirs.
            let asked_since = |until: &DateTime<Utc>| {
                sent.not_before != self.not_before && *until > now + pause(self.failures)
            };
            return Self { failures: 0, not_before: self.not_before.filter(asked_since) };
        }
        // Tries that were under way together have one cause: four of them are no reason to wait five minutes.
        let counts = sent == self;
        let failures = if counts { self.failures.saturating_add(1) } else { self.failures.max(1) };
        let own = self.not_before.filter(|_| !counts).unwrap_or_else(|| now + pause(failures));
        let asked = asked_for(reply, now).map(|pause| now + pause);
        Self { failures, not_before: Some(asked.map_or(own, |asked| asked.max(own))) }
    }
}

fn pause(failures: u32) -> TimeDelta {
    let place = usize::try_from(failures).unwrap_or(usize::MAX).clamp(1, PAUSES.len()) - 1;
    TimeDelta::seconds(PAUSES.get(place).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::retry::{TRIES, Verdict, judge};
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn answered(status: u16, retry_after: Option<&str>) -> Reply {
        Reply::Answered { status, retry_after: retry_after.map(str::to_owned) }
    }

    fn health(failures: u32, seconds: i64) -> Health {
        Health { failures, not_before: Some(now() + TimeDelta::seconds(seconds)) }
    }

    #[test]
    fn pauses_grow_and_are_never_longer_than_the_schedule_of_a_single_delivery() {
        let failed = Reply::Failed { reason: "time-out".to_owned() };
        let mut at = Health::default();
        for (tried, seconds) in (1..TRIES).zip([5, 30, 300, 300, 300, 300, 300, 300, 300]) {
            at = at.after(&failed, at, now());
            assert_eq!(at, health(u32::try_from(tried).unwrap(), seconds));
            let Verdict::Again(again) = judge(&failed, tried, now(), 0) else { panic!("{tried}") };
            assert!(at.not_before.unwrap() <= again, "{tried}");
        }
        assert!(at.is_failing() && !at.is_due(now()) && at.is_due(now() + TimeDelta::seconds(300)));
        assert_eq!(at.at_once(), Health { failures: 9, not_before: None });
        assert_eq!(at.after(&answered(204, None), at, now()), Health::default());
        assert!(Health::default().is_due(now()));
    }

    #[test]
    fn what_was_under_way_together_counts_once() {
        let (sent, failed) = (Health::default(), answered(500, None));
        let first = sent.after(&failed, sent, now());
        let later = now() + TimeDelta::seconds(2);
        assert_eq!((first, first.after(&failed, sent, later)), (health(1, 5), health(1, 5)));
        assert_eq!(first.after(&answered(200, None), sent, later), Health::default(), "one of many failed");
        // A success came between: the failure after it begins anew.
        assert_eq!(sent.after(&failed, first, later), health(1, 7));
    }

    #[test]
    fn an_endpoint_that_asks_for_time_gets_it() {
        let sent = Health::default();
        for (status, retry_after, expected) in [
            (429, "60", health(1, 60)),
            (503, "2", health(1, 5)),
            (503, "999999", health(1, 86_400)),
            (500, "60", health(1, 5)),
        ] {
            let asked = sent.after(&answered(status, Some(retry_after)), sent, now());
            assert_eq!(asked, expected, "{status} {retry_after}");
        }
        let asked = sent.after(&answered(429, Some("60")), sent, now());
        // Another try of the same moment: success does not take the wish back, failure does not shorten it.
        let after = asked.after(&answered(200, None), sent, now());
        assert_eq!(after, health(0, 60));
        assert_eq!(asked.after(&answered(500, None), sent, now()), health(1, 60));
        assert_eq!(asked.after(&answered(429, Some("90")), sent, now()), health(1, 90));
        assert_eq!(after.after(&answered(500, None), sent, now()), health(1, 60));
        // The first try after it ends it.
        let then = now() + TimeDelta::seconds(61);
        assert_eq!(after.after(&answered(200, None), after, then), Health::default());
        assert_eq!(after.after(&answered(500, None), after, then), health(1, 66));
    }
}
