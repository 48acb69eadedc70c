//! Reconciliations.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use simdepot_application::reconciliation;
use simdepot_domain::id::ReconciliationId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, page, position};
use crate::dto::headers::{IdempotencyHeader as IdempotencyHeaderDoc, ReconciliationPath};
use crate::dto::reconciliation::{Reconciliation, ReconciliationRequest, ReconciliationsQuery};
use crate::extract::{Authenticated, IdempotentEmpty, PathParam, ValidQuery};
use crate::pagination::Page;
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(start_reconciliation).service(list_reconciliations).service(get_reconciliation);
}

/// Compare everything with the carriers
///
/// Reads the accounts' fleets, then every profile. It goes on in the background; one runs at a time, and a second request
/// answers the one that is under way. With `adopt_into` the lines that the stock lacks are taken into a pool.
#[utoipa::path(
    tag = "Reconciliations",
    security(("bearer" = ["admin"])),
    params(IdempotencyHeaderDoc),
    request_body = Option<ReconciliationRequest>,
    responses(
        (status = 202, description = "Under way.", body = Reconciliation, headers(
            ("Location" = String, description = "The reconciliation."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key began it."))),
        (status = 409, description = "`invalid-transition`: one is under way that does not adopt as asked; \
            `idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/reconciliations")]
async fn start_reconciliation(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    asked: IdempotentEmpty<ReconciliationRequest>,
) -> ApiResult<HttpResponse> {
    let adopt_into = asked.body.adopt_into;
    let (view, replayed) =
        reconciliation::start(&state.depot, &caller, adopt_into, asked.key.as_ref()).await?;
    let location = Some(format!("/v1/reconciliations/{}", view.reconciliation.id));
    Ok(Answer { status: StatusCode::ACCEPTED, location, replayed }.json(&Reconciliation::from(view)))
}

/// List reconciliations
#[utoipa::path(
    tag = "Reconciliations",
    security(("bearer" = ["admin"])),
    params(ReconciliationsQuery),
    responses((status = 200, description = "A page of reconciliations, newest first.", body = Page<Reconciliation>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/reconciliations")]
async fn list_reconciliations(
    state: web::Data<AppState>,
    _: Authenticated,
    ValidQuery(query): ValidQuery<ReconciliationsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let before = position(query.cursor.as_deref())?;
    let found = reconciliation::list(&state.depot, before, query.limit.with_one_more()).await?;
    page(&request, query.limit, found, |last| last.reconciliation.id, Reconciliation::from)
}

/// Get a reconciliation
#[utoipa::path(
    tag = "Reconciliations",
    security(("bearer" = ["admin"])),
    params(ReconciliationPath),
    responses((status = 200, description = "The reconciliation.", body = Reconciliation))
)]
#[get("/v1/reconciliations/{id}")]
async fn get_reconciliation(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(id): PathParam<ReconciliationId>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(Reconciliation::from(reconciliation::get(&state.depot, id).await?)))
}
