//! How a call fails when a script says so.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::gateway::Route;
use crate::reply::{Answer, Body, Outcome, Problem, TwinReply};
use crate::request::TwinRequest;
use crate::schedule::{Due, later};
use crate::scripts::Fault;
use crate::state::Twin;
use crate::token::oauth_error;
use crate::transactions::Failure;

impl Twin {
    /// Answers a request with a fault.
    pub(crate) fn fail(
        &mut self,
        now: DateTime<Utc>,
        arrival: DateTime<Utc>,
        request: &TwinRequest,
        fault: &Fault,
    ) -> TwinReply {
        let mut delay = Duration::ZERO;
        let outcome = match fault {
            Fault::DropBeforeApply => return TwinReply::Drop { applied: false },
            Fault::DropAfterApply => {
                let outcome = self.answer(now, arrival, request);
                return TwinReply::Drop { applied: outcome.is_ok_and(|answer| answer.is_success()) };
            }
            Fault::ApplyLate { ms } => {
                if let Ok(route) = self.admit(now, arrival, request) {
                    let held = Due::Request(Box::new((route, request.clone())));
                    self.schedule.add(later(now, *ms), held);
                }
                return TwinReply::Drop { applied: false };
            }
            Fault::Slow { ms } => {
                delay = Duration::from_millis(*ms);
                self.answer(now, arrival, request)
            }
            Fault::LateFailure { code, message } => {
                self.late_failure = Some(Failure::new(code, message));
                let outcome = self.answer(now, arrival, request);
                // A call that makes no transaction has nothing to fail later.
                self.late_failure = None;
                outcome
            }
            Fault::Status503AfterApply | Fault::Status504AfterApply | Fault::WrongShape | Fault::Garbage => {
                self.answer(now, arrival, request).and_then(|answer| spoilt(answer, fault))
            }
            Fault::Status503Before
            | Fault::Status500Before
            | Fault::Unauthorized401
            | Fault::TooMany429 { .. }
            | Fault::RefuseTitle { .. }
            | Fault::TurnedAway { .. } => refusal(Route::of(request) == Some(Route::Token), fault),
        };
        self.finish(request, outcome, delay)
    }
}

/// What becomes of an answer on its way; what it tells of has happened.
pub(crate) fn spoilt(answer: Answer, fault: &Fault) -> Outcome {
    match fault {
        Fault::Status503AfterApply => Err(unavailable()),
        Fault::Status504AfterApply => {
            Err(Problem::new(504, "GATEWAY_TIMEOUT", "The service did not answer in time"))
        }
        Fault::WrongShape => Ok(Answer { body: Body::Json(json!([{ "shape": "wrong" }])), ..answer }),
        _ => {
            let text = "<html><body>It works!</body".to_owned();
            Ok(Answer { body: Body::Text { media_type: "text/html", text }, ..answer })
        }
    }
}

/// A refusal that leaves everything as it was; the token call has errors of its own.
pub(crate) fn refusal(for_token: bool, fault: &Fault) -> Outcome {
    match fault {
        Fault::Status500Before => Err(Problem::new(500, "INTERNAL_ERROR", "Internal error")),
        Fault::Unauthorized401 if for_token => {
            Ok(oauth_error(401, "invalid_client", "Bad client credentials"))
        }
        Fault::Unauthorized401 => Err(Problem::new(401, "UNAUTHORIZED", "Access token is not accepted")),
        Fault::TooMany429 { retry_after } => {
            let problem = Problem::new(429, "TOO_MANY_REQUESTS", "Too many requests");
            Err(Problem { retry_after: *retry_after, ..problem })
        }
        Fault::RefuseTitle { status, title } => Err(Problem::new(*status, title, "Refused by a script")),
        Fault::TurnedAway { status } => {
            let text = "<html><body><h1>Request blocked</h1></body></html>".to_owned();
            let body = Body::Text { media_type: "text/html", text };
            Ok(Answer { status: *status, headers: Vec::new(), body })
        }
        _ => Err(unavailable()),
    }
}

fn unavailable() -> Problem {
    Problem::new(503, "SERVICE_UNAVAILABLE", "The service is unavailable")
}
