//! How answers are written out, and how calls fail when a script says so.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::gateway::Route;
use super::state::{Due, SpsTwin};
use crate::faults::{refusal, spoilt};
use crate::line_operation::LineOperation;
use crate::reply::{Answer, Body, Outcome, Problem, TwinReply, add_unknown_fields};
use crate::request::TwinRequest;
use crate::schedule::later;
use crate::scripts::{ActiveScript, CallName, Fault, Matches, Script, draw};
use crate::transactions::Failure;

/// The acknowledgement of a write; also the published sample of a transaction's status.
pub(super) fn success() -> Answer {
    Answer::json(200, json!({ "status": "Success" }))
}

/// An error. Its body is the twin's own: none is published.
fn error_answer(problem: &Problem) -> Answer {
    let answer = Answer::json(problem.status, json!({ "code": problem.title, "message": problem.detail }));
    match problem.retry_after {
        Some(seconds) => answer.with_header("retry-after", &seconds.to_string()),
        None => answer,
    }
}

impl SpsTwin {
    /// Writes an outcome out.
    pub(super) fn finish(&mut self, outcome: Outcome, delay: Duration) -> TwinReply {
        let mut answer = outcome.unwrap_or_else(|problem| error_answer(&problem));
        if let Body::Json(value) = &mut answer.body
            && self.assumptions.unknown_fields
        {
            add_unknown_fields(value);
        }
        answer.render(delay.max(self.hold))
    }

    /// Answers a request with a fault.
    pub(super) fn fail(
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
                    self.schedule.add(later(now, *ms), Due::Request(Box::new((route, request.clone()))));
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
            | Fault::TurnedAway { .. } => refusal(self.route(request) == Some(Route::Token), fault),
        };
        self.finish(outcome, delay)
    }

    /// Adds a script.
    pub fn add_script(&mut self, script: Script) {
        self.scripts.push(ActiveScript { script, fired: 0 });
    }

    /// The scripts with their counts, used up ones included.
    pub fn scripts(&self) -> &[ActiveScript] {
        &self.scripts
    }

    /// Removes all scripts.
    pub fn clear_scripts(&mut self) {
        self.scripts.clear();
    }

    /// The fault that a call meets, if any.
    pub(super) fn draw_fault(&mut self, route: Option<&Route>, request: &TwinRequest) -> Option<Fault> {
        if self.scripts.is_empty() {
            return None;
        }
        let subject = self.subject(route, request);
        draw(&mut self.scripts, &mut self.random, route.map(Route::call), &subject)
    }

    /// What a request is about. Scripts know it under the names that both carriers share: the GPSI as `msisdn`, the
    /// plan as `product`, and a write as the line operation that is nearest to it.
    fn subject(&self, route: Option<&Route>, request: &TwinRequest) -> Matches {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |name: &str| match body.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let mut subject = Matches {
            iccid: text("iccid").or_else(|| request.query_value("iccid")),
            msisdn: text("gpsi").or_else(|| request.query_value("gpsi")),
            product: text("wholesalePlanId"),
            operation: operation(route, text("action").as_deref()),
        };
        if let Some(Route::Transaction { id }) = route
            && let Some(transaction) = self.transaction(id)
        {
            subject.iccid = transaction.iccid.clone();
            subject.msisdn = transaction.gpsi.clone();
        }
        let by_pei = request.query_value("pei");
        let found = subject
            .iccid
            .as_deref()
            .and_then(|iccid| self.subscription_of_iccid(iccid))
            .or_else(|| subject.msisdn.as_deref().and_then(|gpsi| self.subscription_of_gpsi(gpsi)))
            .or_else(|| by_pei.as_deref().and_then(|pei| self.subscription_of_pei(pei)));
        if let Some(found) = found {
            subject.iccid.get_or_insert_with(|| found.iccid.clone());
            subject.msisdn.get_or_insert_with(|| found.gpsi.clone());
        }
        subject
    }
}

/// The line operation that is nearest to a write.
fn operation(route: Option<&Route>, action: Option<&str>) -> Option<LineOperation> {
    match (route?.call(), action) {
        (CallName::Activate, _) => Some(LineOperation::Activate),
        (CallName::Change, _) => Some(LineOperation::SimSwap),
        (CallName::Status, Some("Suspend")) => Some(LineOperation::Suspend),
        (CallName::Status, Some("Resume" | "Reactivate")) => Some(LineOperation::Reactivate),
        (CallName::Status, Some("Cease")) => Some(LineOperation::Terminate),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
