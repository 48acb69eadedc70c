//! Taking orders back, and what says whether they may be paid back.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use simdepot_application::{cancellations, refunds};
use simdepot_domain::id::OrderId;
use simdepot_domain::order::OrderStatus;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::Answer;
use crate::dto::cancellation::CancelRequest;
use crate::dto::headers::{IdempotencyHeader as IdempotencyHeaderDoc, OrderPath, PreferHeader};
use crate::dto::order::Order;
use crate::dto::refund::RefundEligibility;
use crate::extract::{Authenticated, IdempotentEmpty, PathParam, PreferWait};
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(cancel_order).service(get_refund_eligibility);
}

/// Cancel an order
///
/// From here on nothing of it is sent and no code of it is revealed. What is in flight at the carrier comes to its end
/// first: until then the answer is 202 and the order says `cancelling`. A profile goes back on sale only with proof that
/// nobody can have used it: its code was never shown, no device has it, and nothing is on it. What the carrier has
/// placed stays there: whoever has the profile installed goes on using it, with its bundle and every top-up that was paid
/// for. Your channel does not see it any more: the profile, its bundles and its top-ups are `not-found`. Ask
/// `refund-eligibility` before, not after. Asking again answers the same.
#[utoipa::path(
    tag = "Orders",
    security(("bearer" = ["storefront"])),
    params(OrderPath, IdempotencyHeaderDoc, PreferHeader),
    request_body = Option<CancelRequest>,
    responses(
        (status = 200, description = "Cancelled.", body = Order, headers(
            ("Location" = String, description = "The order."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key asked for it."),
        )),
        (status = 202, description = "Being cancelled; something of it is still in flight.", body = Order, headers(
            ("Location" = String, description = "The order."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key asked for it."),
        )),
        (status = 409, description = "`invalid-transition` (`from`, `command`): it failed, so there is nothing to take back; \
            `idempotency-in-flight`.", body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/v1/orders/{id}/cancel")]
async fn cancel_order(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<OrderId>,
    PreferWait(wait): PreferWait<10>,
    asked: IdempotentEmpty<CancelRequest>,
) -> ApiResult<HttpResponse> {
    let IdempotentEmpty { body, key } = asked;
    let cancelled = cancellations::cancel(&state.depot, &caller, id, body.reason, key.as_ref(), wait).await?;
    let done = cancelled.order.order.status == OrderStatus::Cancelled;
    let answer = Answer {
        status: if done { StatusCode::OK } else { StatusCode::ACCEPTED },
        location: Some(format!("/v1/orders/{id}")),
        replayed: cancelled.replayed,
    };
    Ok(answer.json(&Order::new(cancelled.order, &state.settings.public_url)))
}

/// Ask whether an order may be paid back
///
/// What the carrier's records show of every profile that came with the order, asked for now, and what follows from it:
/// it may be paid back when nothing was used and no outcome is open. What the carrier could not be asked for now is
/// judged by what it said last: that may forbid paying back, but does not allow it (`not_verified`).
#[utoipa::path(
    tag = "Orders",
    security(("bearer" = ["storefront"])),
    params(OrderPath),
    responses((status = 200, description = "Whether, and why.", body = RefundEligibility))
)]
#[get("/v1/orders/{id}/refund-eligibility")]
async fn get_refund_eligibility(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<OrderId>,
) -> ApiResult<HttpResponse> {
    let found = refunds::eligibility(&state.depot, &caller, id).await?;
    Ok(HttpResponse::Ok().json(RefundEligibility::from(found)))
}
