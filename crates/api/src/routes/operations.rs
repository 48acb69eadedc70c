//! Operations.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use simdepot_application::operations;
use simdepot_domain::id::OperationId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, position};
use crate::dto::headers::{IdempotencyHeader as IdempotencyHeaderDoc, OperationPath};
use crate::dto::operation::{Operation, OperationsQuery, ResolveRequest};
use crate::extract::{Authenticated, Idempotent, PathParam, ValidQuery};
use crate::pagination::{Page, cursor_encode, page_response};
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list_operations).service(get_operation).service(resolve_operation);
}

/// List operations
///
/// Writes to carriers, newest first. `status=needs_attention` lists what a person must decide. A key that sees its own
/// channel's alone may get a page with fewer than `limit`, even none, although there are more: `next_cursor` is null on
/// the last page alone.
#[utoipa::path(
    tag = "Operations",
    security(("bearer" = ["lines"])),
    params(OperationsQuery),
    responses((status = 200, description = "A page of operations.", body = Page<Operation>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/operations")]
async fn list_operations(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    ValidQuery(query): ValidQuery<OperationsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let (status, before) = (query.status.map(Into::into), position(query.cursor.as_deref())?);
    let found = operations::list(&state.depot, &caller, status, before, query.limit.with_one_more()).await?;
    let (rows, next) = query.limit.cut(found.operations, |last| last.operation.id);
    // A page that is not full may not be the last one: then it says how far it has looked.
    let next = next.or_else(|| found.looked_up_to.as_ref().map(cursor_encode));
    Ok(page_response(&request, rows.into_iter().map(Operation::from).collect(), next))
}

/// Get an operation
#[utoipa::path(
    tag = "Operations",
    security(("bearer" = ["lines"])),
    params(OperationPath),
    responses((status = 200, description = "The operation.", body = Operation))
)]
#[get("/v1/operations/{id}")]
async fn get_operation(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<OperationId>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(Operation::from(operations::get(&state.depot, &caller, id).await?)))
}

/// Decide an operation by hand
///
/// For an operation that is `unknown` or `needs_attention`, after a look into the carrier's own records; and, with `done` and
/// a `subscription_id`, for one that is `done` while the subscription of its bundle is not known. `done`
/// fulfils what waits for it; `refused` fails it and sets the profile aside; `retry` sends it again. A `subscription_id` that
/// the carrier's complete list of the line does not have is refused (422, `not_on_line`, with what the line has); when the
/// carrier cannot be read it is believed.
#[utoipa::path(
    tag = "Operations",
    security(("bearer" = ["lines"])),
    params(OperationPath, IdempotencyHeaderDoc),
    request_body = ResolveRequest,
    responses(
        (status = 200, description = "The operation as it is now.", body = Operation, headers(
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 409, description = "`invalid-transition` (`from`, `command`): it is in another status; `idempotency-in-flight`.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/v1/operations/{id}/resolve")]
async fn resolve_operation(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<OperationId>,
    request: Idempotent<ResolveRequest>,
) -> ApiResult<HttpResponse> {
    let Idempotent { body, key } = request;
    let (verdict, reason) = body.verdict()?;
    let (view, replayed) =
        operations::decide_by_hand(&state.depot, &caller, id, verdict, reason, key.as_ref()).await?;
    Ok(Answer { status: StatusCode::OK, location: None, replayed }.json(&Operation::from(view)))
}
