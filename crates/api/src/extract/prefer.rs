//! `Prefer: wait=N` and `respond-async` (RFC 7240): how long the client wants to wait for the end of its order.

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use crate::problem::Problem;

/// Longest wait, in seconds. More is cut to it.
pub const MAX_WAIT: u64 = 60;

/// How long to wait; `DEFAULT` seconds unless the client prefers otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreferWait<const DEFAULT: u64>(pub Duration);

/// What `Preference-Applied` says in the answer; [`crate::middleware::request_id`] adds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PreferenceApplied(pub(crate) String);

impl<const DEFAULT: u64> FromRequest for PreferWait<DEFAULT> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let seconds = match preferred(req.headers()) {
            Some(Preference::Wait(seconds)) => {
                let seconds = seconds.min(MAX_WAIT);
                req.extensions_mut().insert(PreferenceApplied(format!("wait={seconds}")));
                seconds
            }
            Some(Preference::Async) => {
                req.extensions_mut().insert(PreferenceApplied("respond-async".to_owned()));
                0
            }
            None => DEFAULT,
        };
        ready(Ok(Self(Duration::from_secs(seconds))))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preference {
    Wait(u64),
    Async,
}

/// The first `wait` that can be read counts, and more than `respond-async`: both together mean "asynchronously, if it
/// takes longer than that" (RFC 7240 §4.3). What cannot be read is passed over (§2).
fn preferred(headers: &HeaderMap) -> Option<Preference> {
    let texts = headers.get_all("Prefer").filter_map(|value| value.to_str().ok());
    let mut tokens =
        texts.flat_map(|text| text.split(',')).filter_map(|preference| preference.split(';').next());
    let mut responds_async = false;
    let wait = tokens.find_map(|token| {
        let (name, value) = token.split_once('=').unwrap_or((token, ""));
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        responds_async |= name.eq_ignore_ascii_case("respond-async");
        name.eq_ignore_ascii_case("wait").then(|| value.parse().ok()).flatten()
    });
    wait.map(Preference::Wait).or(responds_async.then_some(Preference::Async))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    async fn wait(prefer: &[&str]) -> (u64, Option<String>) {
        let request = prefer
            .iter()
            .fold(TestRequest::get(), |request, value| request.append_header(("Prefer", *value)));
        let request = request.to_http_request();
        let wait = PreferWait::<10>::extract(&request).await.unwrap().0;
        let applied = request.extensions().get::<PreferenceApplied>().map(|applied| applied.0.clone());
        (wait.as_secs(), applied)
    }

    #[actix_web::test]
    async fn reads_what_is_preferred() {
        let applied = |text: &str| Some(text.to_owned());
        for (prefer, expected) in [
            (&[][..], (10, None)),
            (&["wait=20"], (20, applied("wait=20"))),
            (&["WAIT = 5 ; x=y"], (5, applied("wait=5"))),
            (&["wait=\"3\""], (3, applied("wait=3"))),
            (&["wait=0"], (0, applied("wait=0"))),
            (&["wait=9999"], (60, applied("wait=60"))),
            (&["respond-async"], (0, applied("respond-async"))),
            (&["respond-async, wait=7"], (7, applied("wait=7"))),
            (&["handling=lenient", "wait=4"], (4, applied("wait=4"))),
            (&["wait=-1"], (10, None)),
            (&["wait"], (10, None)),
            (&["wait=soon, wait=2"], (2, applied("wait=2"))),
            (&["waiting=3"], (10, None)),
        ] {
            assert_eq!(wait(prefer).await, expected, "{prefer:?}");
        }
    }
}
