//! What several handlers share: answers of POSTs, pages, scopes.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use simdepot_application::{AppError, Caller};
use simdepot_domain::channel::Scope;

use crate::pagination::{Limit, cursor_encode, page_response};
use crate::problem::ApiResult;

/// Says that an answer repeats what an earlier request with the same `Idempotency-Key` did.
const REPLAYED: &str = "Idempotency-Replayed";

/// Demands one of two scopes; the refusal names the first.
pub(super) fn require_either(caller: &Caller, first: Scope, second: Scope) -> Result<(), AppError> {
    if caller.may(second) { Ok(()) } else { caller.require(first) }
}

/// The answer to a POST.
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Where the thing, or its progress, is.
    pub(super) location: Option<String>,
    /// Whether an earlier request with the key had done it.
    pub(super) replayed: bool,
}

impl Answer {
    /// With a body.
    pub(super) fn json(self, body: &impl Serialize) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(location) = self.location {
            response.insert_header((LOCATION, location));
        }
        if self.replayed {
            response.insert_header((REPLAYED, "true"));
        }
        response.json(body)
    }
}

/// A page of a list: `found` was asked for with [`ask_for`] and holds one more when there is a next page.
pub(super) fn page<T, D: Serialize, C: Serialize>(
    request: &HttpRequest,
    limit: Limit,
    mut found: Vec<T>,
    cursor: impl FnOnce(&T) -> C,
    render: impl FnMut(T) -> D,
) -> ApiResult<HttpResponse> {
    let limit = usize::from(limit.get());
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| cursor_encode(&cursor(last)));
    Ok(page_response(request, found.into_iter().map(render).collect(), next))
}

/// How many to ask for so that a next page shows.
pub(super) fn ask_for(limit: Limit) -> i64 {
    i64::from(limit.get()) + 1
}
