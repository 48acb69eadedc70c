//! The front door: which call a request is, and whether it may be made.

use chrono::{DateTime, Utc};

use super::fields::Shape;
use super::state::SpsTwin;
use crate::gateway::{check_media_type, method_not_allowed, over_rate};
use crate::reply::{Outcome, Problem};
use crate::request::TwinRequest;
use crate::scripts::CallName;

/// Where a URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Token,
    Activate,
    Status,
    Change,
    BlockList,
    Transaction { id: String },
    Compatibility,
    DeviceDetails,
    BlockListIndicator,
}

impl Route {
    /// The name that failure scripts and counters use.
    pub(super) fn call(&self) -> CallName {
        match self {
            Self::Token => CallName::Token,
            Self::Activate => CallName::Activate,
            Self::Status => CallName::Status,
            Self::Change => CallName::Change,
            Self::BlockList => CallName::BlockList,
            Self::Transaction { .. } => CallName::Transaction,
            Self::Compatibility => CallName::Compatibility,
            Self::DeviceDetails => CallName::DeviceDetails,
            Self::BlockListIndicator => CallName::BlockListIndicator,
        }
    }
}

/// Whether a call changes something.
pub(super) fn is_write(call: CallName) -> bool {
    matches!(call, CallName::Activate | CallName::Status | CallName::Change | CallName::BlockList)
}

impl SpsTwin {
    /// The call of a URL and method.
    pub(super) fn route(&self, request: &TwinRequest) -> Option<Route> {
        let at = self.routes_at(request);
        at.into_iter().find(|(method, _)| *method == request.method).map(|(_, route)| route)
    }

    /// The calls at a URL with their methods. Writes can share one, as their routes are settings.
    fn routes_at(&self, request: &TwinRequest) -> Vec<(&str, Route)> {
        let config = &self.config;
        let writes = [
            (&config.activate, Route::Activate),
            (&config.status, Route::Status),
            (&config.change, Route::Change),
            (&config.block_list, Route::BlockList),
        ];
        let here = writes.into_iter().filter(|(set, _)| set.path == request.path);
        let mut found: Vec<(&str, Route)> = here.map(|(set, route)| (set.method.as_str(), route)).collect();
        if config.token_path == request.path {
            found.push(("POST", Route::Token));
        }
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let read = match segments.as_slice() {
            ["transaction", "status", id] => Some(Route::Transaction { id: (*id).to_owned() }),
            ["compatibility"] => Some(Route::Compatibility),
            ["deviceDetails"] => Some(Route::DeviceDetails),
            ["blockListIndicator"] => Some(Route::BlockListIndicator),
            _ => None,
        };
        found.extend(read.map(|route| ("GET", route)));
        found
    }

    /// Whether the gateway lets a request through, and where to.
    pub(super) fn admit(
        &mut self,
        now: DateTime<Utc>,
        arrival: DateTime<Utc>,
        request: &TwinRequest,
    ) -> Result<Route, Problem> {
        let route = self.route(request);
        if route == Some(Route::Token) {
            return check_media_type(request, "application/x-www-form-urlencoded").map(|()| Route::Token);
        }
        self.authenticate(now, request)?;
        if over_rate(&mut self.rate, arrival, self.assumptions.rate_limit_per_second) {
            let problem = Problem::new(429, "TOO_MANY_REQUESTS", "Too many requests");
            return Err(Problem { retry_after: self.assumptions.retry_after_seconds, ..problem });
        }
        let Some(route) = route else {
            let known = !self.routes_at(request).is_empty();
            return Err(if known {
                method_not_allowed(request)
            } else {
                Problem::new(404, "NOT_FOUND", "No API has this URL")
            });
        };
        self.check_headers(request)?;
        if is_write(route.call()) {
            check_media_type(request, "application/json")?;
        }
        Ok(route)
    }

    /// The two headers that every operation has; both are optional.
    fn check_headers(&self, request: &TwinRequest) -> Result<(), Problem> {
        let correlation = request.header("x-correlation-id");
        if correlation.is_some_and(|id| id.is_empty() || (self.assumptions.strict_uuid && !is_uuid(id))) {
            return Err(Problem::bad_request("X-Correlation-Id must be a UUID"));
        }
        let Some(customer) = request.header("wholesalecustomerid") else { return Ok(()) };
        if !Shape::CUSTOMER_ID.fits(customer) {
            return Err(Problem::bad_request("wholesaleCustomerId must be 1 to 12 characters"));
        }
        if self.config.wholesale_customer_id.as_ref().is_some_and(|own| own != customer) {
            return Err(Problem::new(400, "UNKNOWN_CUSTOMER", "wholesaleCustomerId is not of this account"));
        }
        Ok(())
    }

    /// Carries out an admitted request.
    pub(super) fn perform(&mut self, now: DateTime<Utc>, route: &Route, request: &TwinRequest) -> Outcome {
        match route {
            Route::Token => Ok(self.grant_token(now, request)),
            Route::Activate | Route::Status | Route::Change | Route::BlockList => {
                self.write(now, route.call(), request)
            }
            Route::Transaction { id } => self.transaction_status(id),
            Route::Compatibility => self.compatibility(request),
            Route::DeviceDetails => self.device_details(request),
            Route::BlockListIndicator => self.block_list_indicator(request),
        }
    }
}

/// Whether a text has the form of a UUID of any version.
fn is_uuid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == lengths.len()
        && parts
            .iter()
            .zip(lengths)
            .all(|(part, length)| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests;
