//! API keys.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use simdepot_application::api_keys;
use simdepot_domain::id::ApiKeyId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, page, position};
use crate::dto::api_key::{ApiKey, ApiKeyRequest, ApiKeysQuery, NewKey};
use crate::dto::headers::{ApiKeyPath, IdempotencyHeader as IdempotencyHeaderDoc};
use crate::extract::{Authenticated, Idempotent, PathParam, ValidQuery};
use crate::pagination::Page;
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(create_api_key).service(list_api_keys).service(revoke_api_key);
}

/// Create an API key
///
/// The key is in this answer and nowhere else.
#[utoipa::path(
    tag = "API keys",
    security(("bearer" = ["admin"])),
    params(IdempotencyHeaderDoc),
    request_body = ApiKeyRequest,
    responses(
        (status = 201, description = "The key was made.", body = NewKey, headers(
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key made it."))),
        (status = 409, description = "`idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/api-keys")]
async fn create_api_key(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    asked: Idempotent<ApiKeyRequest>,
) -> ApiResult<HttpResponse> {
    let new = asked.body.into_new(state.settings.sandbox);
    let (created, replayed) = api_keys::create(&state.depot, &caller, new, asked.key.as_ref()).await?;
    Ok(Answer { status: StatusCode::CREATED, location: None, replayed }.json(&NewKey::from(created)))
}

/// List API keys
#[utoipa::path(
    tag = "API keys",
    security(("bearer" = ["admin"])),
    params(ApiKeysQuery),
    responses((status = 200, description = "A page of keys, newest first.", body = Page<ApiKey>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/api-keys")]
async fn list_api_keys(
    state: web::Data<AppState>,
    _: Authenticated,
    ValidQuery(query): ValidQuery<ApiKeysQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let before = position(query.cursor.as_deref())?;
    let found = api_keys::list(&state.depot, before, query.limit.with_one_more()).await?;
    page(&request, query.limit, found, |last| last.id, ApiKey::from)
}

/// Revoke an API key
///
/// It stops working at once. Revoking it again changes nothing.
#[utoipa::path(
    tag = "API keys",
    security(("bearer" = ["admin"])),
    params(ApiKeyPath),
    responses((status = 204, description = "The key does not work any more."))
)]
#[delete("/v1/api-keys/{id}")]
async fn revoke_api_key(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(id): PathParam<ApiKeyId>,
) -> ApiResult<HttpResponse> {
    api_keys::revoke(&state.depot, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
