//! Holds.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use simdepot_application::holds;
use simdepot_domain::id::HoldId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, page, position};
use crate::dto::headers::{HoldPath, IdempotencyHeader as IdempotencyHeaderDoc};
use crate::dto::hold::{Hold, HoldPatch, HoldRequest, HoldsQuery};
use crate::extract::{Authenticated, Idempotent, PathParam, ValidJson, ValidQuery};
use crate::pagination::Page;
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(create_hold)
        .service(list_holds)
        .service(get_hold)
        .service(extend_hold)
        .service(release_hold);
}

/// Hold profiles
///
/// Reserves profiles of a pool for a checkout: nobody else is sold them until the deadline. Name the hold in the order
/// that follows. What is not ordered by then goes back on sale by itself.
#[utoipa::path(
    tag = "Holds",
    security(("bearer" = ["storefront"])),
    params(IdempotencyHeaderDoc),
    request_body = HoldRequest,
    responses(
        (status = 201, description = "The profiles are reserved.", body = Hold, headers(
            ("Location" = String, description = "The hold."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key made it."),
        )),
        (status = 409, description = "`out-of-stock` (`requested`, `available`): nothing was reserved; \
            `idempotency-in-flight`.", body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/v1/holds")]
async fn create_hold(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    asked: Idempotent<HoldRequest>,
) -> ApiResult<HttpResponse> {
    let (made, replayed) =
        holds::create(&state.depot, &caller, asked.body.into(), asked.key.as_ref()).await?;
    let location = Some(format!("/v1/holds/{}", made.hold.id));
    Ok(Answer { status: StatusCode::CREATED, location, replayed }.json(&Hold::from(made)))
}

/// List holds
///
/// Your channel's holds, newest first, those that are over included.
#[utoipa::path(
    tag = "Holds",
    security(("bearer" = ["storefront"])),
    params(HoldsQuery),
    responses((status = 200, description = "A page of holds.", body = Page<Hold>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/holds")]
async fn list_holds(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    ValidQuery(query): ValidQuery<HoldsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let before = position(query.cursor.as_deref())?;
    let found = holds::list(&state.depot, &caller, before, query.limit.with_one_more()).await?;
    page(&request, query.limit, found, |last| last.hold.id, Hold::from)
}

/// Get a hold
#[utoipa::path(
    tag = "Holds",
    security(("bearer" = ["storefront"])),
    params(HoldPath),
    responses((status = 200, description = "The hold.", body = Hold))
)]
#[get("/v1/holds/{id}")]
async fn get_hold(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<HoldId>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(Hold::from(holds::get(&state.depot, &caller, id).await?)))
}

/// Extend a hold
///
/// Gives it another deadline, counted from now; a nearer one too.
#[utoipa::path(
    tag = "Holds",
    security(("bearer" = ["storefront"])),
    params(HoldPath),
    request_body = HoldPatch,
    responses(
        (status = 200, description = "The hold as it is now.", body = Hold),
        (status = 409, description = "`hold-expired` (`hold_id`, `from`): it reserves nothing any more; \
            `invalid-transition`: it became an order.", body = Problem, content_type = "application/problem+json"),
    )
)]
#[patch("/v1/holds/{id}")]
async fn extend_hold(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<HoldId>,
    ValidJson(patch): ValidJson<HoldPatch>,
) -> ApiResult<HttpResponse> {
    let extended = holds::extend(&state.depot, &caller, id, patch.ttl_seconds).await?;
    Ok(HttpResponse::Ok().json(Hold::from(extended)))
}

/// Release a hold
///
/// Puts its profiles back on sale at once. Releasing one that is over changes nothing.
#[utoipa::path(
    tag = "Holds",
    security(("bearer" = ["storefront"])),
    params(HoldPath),
    responses(
        (status = 200, description = "The hold as it is now.", body = Hold),
        (status = 409, description = "`invalid-transition`: it became an order.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[delete("/v1/holds/{id}")]
async fn release_hold(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<HoldId>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(Hold::from(holds::release(&state.depot, &caller, id).await?)))
}
