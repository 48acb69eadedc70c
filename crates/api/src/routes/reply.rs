//! What several handlers share: answers of POSTs, pages.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::pagination::{Limit, cursor_decode, page_response};
use crate::problem::{ApiResult, Problem};

/// Says that an answer repeats what an earlier request with the same `Idempotency-Key` did.
const REPLAYED: &str = "Idempotency-Replayed";

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

/// Where a page begins, if not at the start.
pub(super) fn position<T: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<T>, Problem> {
    cursor.map(cursor_decode).transpose()
}

/// A page of a list: `found` was asked for by [`Limit::with_one_more`].
pub(super) fn page<T, D: Serialize + ToSchema, C: Serialize>(
    request: &HttpRequest,
    limit: Limit,
    found: Vec<T>,
    cursor: impl FnOnce(&T) -> C,
    render: impl FnMut(T) -> D,
) -> ApiResult<HttpResponse> {
    let (rows, next) = limit.cut(found, cursor);
    Ok(page_response(request, rows.into_iter().map(render).collect(), next))
}
