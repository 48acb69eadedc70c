//! Operations.

use actix_web::{HttpRequest, HttpResponse, get, web};
use simdepot_application::operations;
use simdepot_domain::channel::Scope;
use simdepot_domain::id::OperationId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{page, position};
use crate::dto::headers::OperationPath;
use crate::dto::operation::{Operation, OperationsQuery};
use crate::extract::{Authenticated, PathParam, ValidQuery};
use crate::pagination::Page;
use crate::problem::ApiResult;
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list_operations).service(get_operation);
}

/// List operations
///
/// Writes to carriers, newest first. `status=needs_attention` lists what a person must decide.
#[utoipa::path(
    tag = "Operations",
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
    if !operations::sees_all(&caller) {
        caller.require(Scope::Lines)?;
    }
    let (status, before) = (query.status.map(Into::into), position(query.cursor.as_deref())?);
    let found = operations::list(&state.depot, status, before, query.limit.with_one_more()).await?;
    page(&request, query.limit, found, |last| last.operation.id, Operation::from)
}

/// Get an operation
#[utoipa::path(
    tag = "Operations",
    params(OperationPath),
    responses((status = 200, description = "The operation.", body = Operation))
)]
#[get("/v1/operations/{id}")]
async fn get_operation(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<OperationId>,
) -> ApiResult<HttpResponse> {
    if !operations::sees_all(&caller) {
        caller.require(Scope::Storefront)?;
    }
    Ok(HttpResponse::Ok().json(Operation::from(operations::get(&state.depot, &caller, id).await?)))
}
