//! When a delivery is tried again: the schedule that Standard Webhooks 1.0 gives as its example.

use chrono::{DateTime, TimeDelta, Utc};

use super::Reply;

/// Seconds before each try, counted from the one before.
const PAUSES: [i64; 10] = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// How often a delivery is tried before it is given up, about three days after its event.
pub const TRIES: usize = PAUSES.len();

/// Longest pause that an endpoint may ask for.
const LONGEST: TimeDelta = TimeDelta::hours(24);

/// What follows from a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint has it.
    Delivered,
    /// Not before this moment.
    Again(DateTime<Utc>),
    /// That was the last try.
    GivenUp,
}

/// Decides on the `tried`-th try (from 1) by what came back. Only a 2xx is a success: redirects are not followed.
/// `random` spreads deliveries that failed together, by up to a tenth of the pause.
pub fn judge(reply: &Reply, tried: usize, now: DateTime<Utc>, random: u64) -> Verdict {
    if reply.is_success() {
        return Verdict::Delivered;
    }
    let asked_for = asked_for(reply, now).unwrap_or_default();
    match PAUSES.get(tried) {
        Some(seconds) => Verdict::Again(now + spread(*seconds, random).max(asked_for)),
        None => Verdict::GivenUp,
    }
}

/// The pause that a reply asks for, at most [`LONGEST`]: 429 and 503 may.
pub(super) fn asked_for(reply: &Reply, now: DateTime<Utc>) -> Option<TimeDelta> {
    match reply {
        Reply::Answered { status: 429 | 503, retry_after } => {
            retry_after.as_deref().and_then(|text| pause_asked_for(text, now))
        }
        Reply::Answered { .. } | Reply::Failed { .. } => None,
    }
}

/// The pause with up to ten percent on top, in milliseconds.
fn spread(seconds: i64, random: u64) -> TimeDelta {
    let share = i64::try_from(random % 1_001).unwrap_or_default();
    TimeDelta::milliseconds(seconds * 1_000 + seconds * share / 10)
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date.
fn pause_asked_for(text: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
    let text = text.trim();
    let pause = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok().and_then(TimeDelta::try_seconds).unwrap_or(LONGEST)
    } else {
        DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc) - now
    };
    Some(pause.clamp(TimeDelta::zero(), LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn answered(status: u16, retry_after: Option<&str>) -> Reply {
        Reply::Answered { status, retry_after: retry_after.map(str::to_owned) }
    }

    fn pause(reply: &Reply, tried: usize, random: u64) -> Option<i64> {
        match judge(reply, tried, now(), random) {
            Verdict::Again(at) => Some((at - now()).num_milliseconds()),
            Verdict::Delivered | Verdict::GivenUp => None,
        }
    }

    #[test]
    fn only_success_is_success() {
        for status in 100..600 {
            let delivered = judge(&answered(status, None), 1, now(), 0) == Verdict::Delivered;
            assert_eq!(delivered, (200..300).contains(&status), "{status}");
        }
        assert_eq!(judge(&answered(204, None), 10, now(), 0), Verdict::Delivered);
        assert!(answered(410, None).is_gone() && !answered(404, None).is_gone());
    }

    #[test]
    fn the_pauses_grow_to_the_last_try() {
        let failed = Reply::Failed { reason: "time-out".to_owned() };
        let pauses: Vec<i64> = (1..TRIES).map(|tried| pause(&failed, tried, 0).unwrap() / 1_000).collect();
        assert_eq!(pauses, [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!(judge(&failed, TRIES, now(), 0), Verdict::GivenUp);
        assert_eq!(judge(&failed, TRIES + 1, now(), 0), Verdict::GivenUp);
        for random in [1, 999, 1_000, 1_001, u64::MAX] {
            let spread = pause(&failed, 2, random).unwrap();
            assert!((300_000..=330_000).contains(&spread), "{spread}");
        }
        assert_eq!(pause(&failed, 2, 1_000), Some(330_000));
    }

    #[test]
    fn an_endpoint_may_ask_for_more_time() {
        let date = "Fri, 15 Jan 2027 09:00:00 GMT";
        for (status, retry_after, tried, seconds) in [
            (503, "120", 1, 120),
            (429, " 120 ", 1, 120),
            (503, "1", 1, 5),
            (503, "999999", 1, 86_400),
            (503, "99999999999999999999", 1, 86_400),
            (429, date, 1, 3_600),
            (429, "Fri, 15 Jan 2027 07:00:00 GMT", 1, 5),
            (429, "soon", 1, 5),
            (429, "-5", 1, 5),
            (429, "", 1, 5),
            (500, "120", 1, 5),
            (503, "120", 3, 1_800),
        ] {
            let waited = pause(&answered(status, Some(retry_after)), tried, 0);
            assert_eq!(waited, Some(seconds * 1_000), "{status} {retry_after}");
        }
    }
}
