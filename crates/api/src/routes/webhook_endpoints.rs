//! Webhook endpoints.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use simdepot_application::webhooks::{endpoints, replay};
use simdepot_domain::id::WebhookEndpointId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, page, position};
use crate::dto::headers::{IdempotencyHeader as IdempotencyHeaderDoc, WebhookEndpointPath};
use crate::dto::webhook_endpoint::{
    NewWebhookEndpoint, RotateSecretRequest, WebhookDeliveriesQuery, WebhookDelivery, WebhookEndpoint,
    WebhookEndpointPatch, WebhookEndpointRequest, WebhookEndpointsQuery, WebhookReplay, WebhookReplayRequest,
};
use crate::extract::{Authenticated, Idempotent, IdempotentEmpty, PathParam, ValidJson, ValidQuery};
use crate::pagination::Page;
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(create_webhook_endpoint)
        .service(list_webhook_endpoints)
        .service(get_webhook_endpoint)
        .service(update_webhook_endpoint)
        .service(delete_webhook_endpoint)
        .service(rotate_webhook_secret)
        .service(replay_webhooks)
        .service(list_webhook_deliveries);
}

/// Create a webhook endpoint
///
/// It gets the events that enter the feed from now on, as `POST` requests with
/// `{"type", "timestamp", "data": {"seq", "id", "subject", "version", "data"}}`, signed by
/// [Standard Webhooks 1.0](https://www.standardwebhooks.com). Answer with a 2xx within 20 seconds; anything else is tried
/// again, ten times in three days or more, with the same `webhook-id` and the same bytes. A failure, and what a 429 or 503
/// asks for with `Retry-After`, pauses the whole endpoint for a while (`not_before`). Each event comes at least once, those
/// about one profile in their order. 410 disables the endpoint. The secret is in this answer and nowhere else. A channel
/// has at most 20 endpoints, unless the operator set another number.
#[utoipa::path(
    tag = "Webhooks",
    security(("bearer" = ["events"])),
    params(IdempotencyHeaderDoc),
    request_body = WebhookEndpointRequest,
    responses(
        (status = 201, description = "The endpoint was made.", body = NewWebhookEndpoint, headers(
            ("Location" = String, description = "The endpoint."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key made it."),
        )),
        (status = 409, description = "`idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/webhook-endpoints")]
async fn create_webhook_endpoint(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    asked: Idempotent<WebhookEndpointRequest>,
) -> ApiResult<HttpResponse> {
    let (made, replayed) =
        endpoints::create(&state.depot, &caller, asked.body.into(), asked.key.as_ref()).await?;
    let location = Some(format!("/v1/webhook-endpoints/{}", made.endpoint.id));
    let body = NewWebhookEndpoint::new(made, state.depot.now());
    Ok(Answer { status: StatusCode::CREATED, location, replayed }.json(&body))
}

/// List webhook endpoints
///
/// Those of the key's channel.
#[utoipa::path(
    tag = "Webhooks",
    security(("bearer" = ["events"])),
    params(WebhookEndpointsQuery),
    responses((status = 200, description = "A page of endpoints, newest first.", body = Page<WebhookEndpoint>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/webhook-endpoints")]
async fn list_webhook_endpoints(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    ValidQuery(query): ValidQuery<WebhookEndpointsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let before = position(query.cursor.as_deref())?;
    let found = endpoints::list(&state.depot, &caller, before, query.limit.with_one_more()).await?;
    let now = state.depot.now();
    page(&request, query.limit, found, |last| last.id, |endpoint| WebhookEndpoint::new(endpoint, now))
}

/// Get a webhook endpoint
#[utoipa::path(
    tag = "Webhooks",
    security(("bearer" = ["events"])),
    params(WebhookEndpointPath),
    responses((status = 200, description = "The endpoint.", body = WebhookEndpoint))
)]
#[get("/v1/webhook-endpoints/{id}")]
async fn get_webhook_endpoint(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<WebhookEndpointId>,
) -> ApiResult<HttpResponse> {
    let endpoint = endpoints::get(&state.depot, &caller, id).await?;
    Ok(HttpResponse::Ok().json(WebhookEndpoint::new(endpoint, state.depot.now())))
}

/// Change a webhook endpoint
///
/// A disabled endpoint gets nothing; enabled again it goes on where it stood.
#[utoipa::path(
    tag = "Webhooks",
    security(("bearer" = ["events"])),
    params(WebhookEndpointPath),
    request_body = WebhookEndpointPatch,
    responses((status = 200, description = "The endpoint as it is now.", body = WebhookEndpoint))
)]
#[patch("/v1/webhook-endpoints/{id}")]
async fn update_webhook_endpoint(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<WebhookEndpointId>,
    ValidJson(patch): ValidJson<WebhookEndpointPatch>,
) -> ApiResult<HttpResponse> {
    let endpoint = endpoints::change(&state.depot, &caller, id, patch.into()).await?;
    Ok(HttpResponse::Ok().json(WebhookEndpoint::new(endpoint, state.depot.now())))
}

/// Delete a webhook endpoint
///
/// With its deliveries: what is pending is not sent.
#[utoipa::path(
    tag = "Webhooks",
    security(("bearer" = ["events"])),
    params(WebhookEndpointPath),
    responses((status = 204, description = "It is gone."))
)]
#[delete("/v1/webhook-endpoints/{id}")]
async fn delete_webhook_endpoint(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<WebhookEndpointId>,
) -> ApiResult<HttpResponse> {
    endpoints::delete(&state.depot, &caller, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Rotate a webhook endpoint's secret
///
/// For 24 hours deliveries carry a signature by each of the two secrets, so that the receiver can change over at any time.
/// The new secret is in this answer and nowhere else.
#[utoipa::path(
    tag = "Webhooks",
    security(("bearer" = ["events"])),
    params(WebhookEndpointPath, IdempotencyHeaderDoc),
    request_body = Option<RotateSecretRequest>,
    responses(
        (status = 200, description = "The endpoint with its new secret.", body = NewWebhookEndpoint, headers(
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 409, description = "`idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/webhook-endpoints/{id}/rotate-secret")]
async fn rotate_webhook_secret(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<WebhookEndpointId>,
    asked: IdempotentEmpty<RotateSecretRequest>,
) -> ApiResult<HttpResponse> {
    let (made, replayed) = endpoints::rotate_secret(&state.depot, &caller, id, asked.key.as_ref()).await?;
    let body = NewWebhookEndpoint::new(made, state.depot.now());
    Ok(Answer { status: StatusCode::OK, location: None, replayed }.json(&body))
}

/// Replay events to a webhook endpoint
///
/// Queues them again, with the `webhook-id` that they had.
#[utoipa::path(
    tag = "Webhooks",
    security(("bearer" = ["events"])),
    params(WebhookEndpointPath, IdempotencyHeaderDoc),
    request_body = WebhookReplayRequest,
    responses(
        (status = 202, description = "The deliveries are queued.", body = WebhookReplay, headers(
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 409, description = "`invalid-transition`: the endpoint is disabled; `idempotency-in-flight`.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/v1/webhook-endpoints/{id}/replay")]
async fn replay_webhooks(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<WebhookEndpointId>,
    asked: Idempotent<WebhookReplayRequest>,
) -> ApiResult<HttpResponse> {
    let what = asked.body.asked().ok_or_else(|| {
        Problem::invalid_field("", "required", "must name event_id, or from_seq and to_seq")
    })?;
    let (deliveries, replayed) = replay::replay(&state.depot, &caller, id, what, asked.key.as_ref()).await?;
    let body = WebhookReplay { deliveries };
    Ok(Answer { status: StatusCode::ACCEPTED, location: None, replayed }.json(&body))
}

/// List a webhook endpoint's deliveries
///
/// What was sent, waits or was given up. `status=failed` lists what may be replayed.
#[utoipa::path(
    tag = "Webhooks",
    security(("bearer" = ["events"])),
    params(WebhookEndpointPath, WebhookDeliveriesQuery),
    responses((status = 200, description = "A page of deliveries, newest first.", body = Page<WebhookDelivery>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/webhook-endpoints/{id}/deliveries")]
async fn list_webhook_deliveries(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<WebhookEndpointId>,
    ValidQuery(query): ValidQuery<WebhookDeliveriesQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let (status, before) = (query.status.map(Into::into), position(query.cursor.as_deref())?);
    let limit = query.limit.with_one_more();
    let found = endpoints::log(&state.depot, &caller, id, status, before, limit).await?;
    page(&request, query.limit, found, |last| last.id, WebhookDelivery::from)
}
