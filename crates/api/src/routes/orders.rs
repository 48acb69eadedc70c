//! Orders.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use simdepot_application::orders::{self, ListOrders, OrderView, PlacedAs};
use simdepot_domain::id::OrderId;
use simdepot_domain::order::OrderStatus;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, page, position};
use crate::dto::headers::{
    IdempotencyHeader as IdempotencyHeaderDoc, OrderPath, PreferHeader, SettledHeader,
};
use crate::dto::order::{Order, OrderQuery, OrderRequest, OrdersQuery};
use crate::dto::order_resolution::ResolveOrderRequest;
use crate::extract::{Authenticated, Idempotent, PathParam, PreferWait, ValidQuery};
use crate::pagination::Page;
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(create_order).service(list_orders).service(get_order).service(resolve_order);
}

/// Place an order
///
/// Takes profiles out of pools, puts the products on them through the carrier, and answers with the activation codes.
/// All lines are taken or none. The order goes on when the client stops waiting: read it at `Location`, which waits as
/// well with `Prefer: wait=`, or send the same request again with the same `reference`.
#[utoipa::path(
    tag = "Orders",
    security(("bearer" = ["storefront"])),
    params(IdempotencyHeaderDoc, PreferHeader),
    request_body = OrderRequest,
    responses(
        (status = 200, description = "The same order was taken before under this reference; or a dry run.", body = Order,
            headers(("Location" = String, description = "The order; absent in a dry run."))),
        (status = 201, description = "Taken and fulfilled.", body = Order, headers(
            ("Location" = String, description = "The order."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key took it."),
        )),
        (status = 202, description = "Taken; the carrier is still at work, or a person must look.", body = Order, headers(
            ("Location" = String, description = "The order."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key took it."),
        )),
        (status = 404, description = "`not-found`: there is no such hold, or not for this key.", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`out-of-stock` (`requested`, `available`): nothing was taken; `reference-conflict`; \
            `hold-expired` (`hold_id`, `from`): the hold reserves nothing any more; `invalid-transition`: it became another \
            order, which `detail` names; `unsupported-by-carrier`: a line has a product and its carrier sells none; \
            `idempotency-in-flight`.", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`carrier-refused` (`order_id`, `carrier_code`): the order failed within the wait.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/v1/orders")]
async fn create_order(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PreferWait(wait): PreferWait<10>,
    asked: Idempotent<OrderRequest>,
) -> ApiResult<HttpResponse> {
    let placed = orders::place(&state.depot, &caller, asked.body.into(), asked.key.as_ref(), wait).await?;
    let answer = answer_to(placed.placed_as, &placed.order);
    let mut body = Order::new(placed.order, &state.settings.public_url);
    body.dry_run = placed.placed_as == PlacedAs::DryRun;
    Ok(answer.json(&body))
}

fn answer_to(placed_as: PlacedAs, view: &OrderView) -> Answer {
    let location = Some(format!("/v1/orders/{}", view.order.id));
    let progress = match view.order.status {
        OrderStatus::Fulfilled => StatusCode::CREATED,
        OrderStatus::InProgress
        | OrderStatus::NeedsAttention
        | OrderStatus::Failed
        | OrderStatus::Cancelled => StatusCode::ACCEPTED,
    };
    match placed_as {
        PlacedAs::Created => Answer { status: progress, location, replayed: false },
        PlacedAs::Replayed => Answer { status: progress, location, replayed: true },
        PlacedAs::Repeated => Answer { status: StatusCode::OK, location, replayed: false },
        PlacedAs::DryRun => Answer { status: StatusCode::OK, location: None, replayed: false },
    }
}

/// List orders
///
/// Your channel's orders, newest first, without activation codes.
#[utoipa::path(
    tag = "Orders",
    security(("bearer" = ["storefront"])),
    params(OrdersQuery),
    responses((status = 200, description = "A page of orders.", body = Page<Order>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/orders")]
async fn list_orders(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    ValidQuery(query): ValidQuery<OrdersQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let asked = ListOrders {
        reference: query.reference,
        status: query.status.map(Into::into),
        created_after: query.created_after,
        before: position(query.cursor.as_deref())?,
    };
    let found = orders::list(&state.depot, &caller, asked, query.limit.with_one_more()).await?;
    let render = |view| Order::new(view, &state.settings.public_url);
    page(&request, query.limit, found, |last| last.order.id, render)
}

/// Get an order
///
/// Without activation codes, unless `reveal=true` asks for those of a fulfilled order. With `Prefer: wait=` the answer comes
/// as soon as the order is no longer `in_progress`, or when the wait is over.
#[utoipa::path(
    tag = "Orders",
    security(("bearer" = ["storefront"])),
    params(OrderPath, OrderQuery, SettledHeader),
    responses(
        (status = 200, description = "The order.", body = Order),
        (status = 409, description = "`invalid-transition`: codes were asked for and the order is not fulfilled, or is being \
            cancelled.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/v1/orders/{id}")]
async fn get_order(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<OrderId>,
    ValidQuery(query): ValidQuery<OrderQuery>,
    PreferWait(wait): PreferWait<0>,
) -> ApiResult<HttpResponse> {
    let view = orders::get_settled(&state.depot, &caller, id, query.reveal, wait).await?;
    Ok(HttpResponse::Ok().json(Order::new(view, &state.settings.public_url)))
}

/// Decide about an order that failed in part
///
/// For an order of any channel that `needs_attention` because some of its profiles failed and the others did not, or because
/// one that replaced a sold one failed. `accept` gives the failed ones up: the order is `fulfilled` with the others, whose
/// codes can then be revealed; the failed ones stay `failed`. `refill` takes another profile of the pool for each of them,
/// all or none, and places the product again.
#[utoipa::path(
    tag = "Orders",
    security(("bearer" = ["stock"])),
    params(OrderPath, IdempotencyHeaderDoc),
    request_body = ResolveOrderRequest,
    responses(
        (status = 200, description = "The order as it is now.", body = Order, headers(
            ("Location" = String, description = "The order."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 202, description = "Refilled; the carrier is at work.", body = Order, headers(
            ("Location" = String, description = "The order."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 409, description = "`invalid-transition` (`from`, `command`): it has not failed in part, is being cancelled, \
            or an operation of it waits for a decision of its own; `out-of-stock` (`requested`, `available`): not every failed \
            place can be refilled, and none was; `idempotency-in-flight`.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/v1/orders/{id}/resolve")]
async fn resolve_order(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<OrderId>,
    request: Idempotent<ResolveOrderRequest>,
) -> ApiResult<HttpResponse> {
    let Idempotent { body, key } = request;
    let (verdict, reason) = (body.outcome.into(), body.reason);
    let decided = orders::decide_by_hand(&state.depot, &caller, id, verdict, reason, key.as_ref()).await?;
    let at_work = decided.order.order.status == OrderStatus::InProgress;
    let answer = Answer {
        status: if at_work { StatusCode::ACCEPTED } else { StatusCode::OK },
        location: Some(format!("/v1/orders/{id}")),
        replayed: decided.replayed,
    };
    Ok(answer.json(&Order::new(decided.order, &state.settings.public_url)))
}
