//! Bundles of a profile: top-ups and what is left.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use simdepot_application::bundles::{self, TopUp};
use simdepot_application::orders::{OrderBundle, PlacedAs};
use simdepot_domain::iccid::Iccid;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::Answer;
use crate::dto::bundle::{Bundle, TopUpRequest};
use crate::dto::headers::{IdempotencyHeader as IdempotencyHeaderDoc, PreferHeader, ProfilePath};
use crate::extract::{Authenticated, Idempotent, PathParam, PreferWait};
use crate::pagination::{Page, page_response};
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(create_bundle).service(list_bundles);
}

/// Top up a profile
///
/// Puts one more product on a profile that was sold to your channel. Goes on when the client stops waiting: read the
/// profile's bundles, or send the same request again with the same `reference`. Its operation is for keys with the scope
/// `lines`.
#[utoipa::path(
    tag = "Bundles",
    security(("bearer" = ["storefront"])),
    params(ProfilePath, IdempotencyHeaderDoc, PreferHeader),
    request_body = TopUpRequest,
    responses(
        (status = 200, description = "The same top-up was made before under this reference.", body = Bundle),
        (status = 201, description = "The carrier has placed it.", body = Bundle, headers(
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key made it."))),
        (status = 202, description = "Taken; the outcome is open.", body = Bundle, headers(
            ("Location" = String, description = "The bundles of the profile."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key made it."))),
        (status = 409, description = "`invalid-transition`: another operation of the profile is open, or its line takes no \
            product; `reference-conflict`; `idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
        (status = 502, description = "`carrier-refused` (`carrier_code`) within the wait.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/profiles/{iccid}/bundles")]
async fn create_bundle(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
    PreferWait(wait): PreferWait<10>,
    asked: Idempotent<TopUpRequest>,
) -> ApiResult<HttpResponse> {
    let Idempotent { body: TopUpRequest { reference, product, order_type }, key } = asked;
    let top_up = TopUp { reference, product, order_type: order_type.map(Into::into) };
    let made = bundles::top_up(&state.depot, &caller, iccid.clone(), top_up, key.as_ref(), wait).await?;
    Ok(answer_to(made.placed_as, &made.bundle, &iccid).json(&Bundle::from(made.bundle)))
}

fn answer_to(placed_as: PlacedAs, placed: &OrderBundle, iccid: &Iccid) -> Answer {
    let open = placed.operation.as_ref().is_some_and(|operation| operation.status.is_open());
    // Not the operation: a storefront does not reach it.
    let location = open.then(|| format!("/v1/profiles/{iccid}/bundles"));
    let progress = if open { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    match placed_as {
        PlacedAs::Created => Answer { status: progress, location, replayed: false },
        PlacedAs::Replayed => Answer { status: progress, location, replayed: true },
        PlacedAs::Repeated | PlacedAs::DryRun => Answer { status: StatusCode::OK, location, replayed: false },
    }
}

/// List a profile's bundles
///
/// All bundles on the profile with what is left of them, read from the carrier when the last reading is older than a
/// minute.
#[utoipa::path(
    tag = "Bundles",
    security(("bearer" = ["storefront"])),
    params(ProfilePath),
    responses((status = 200, description = "The bundles, oldest first, in one page.", body = Page<Bundle>))
)]
#[get("/v1/profiles/{iccid}/bundles")]
async fn list_bundles(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let found = bundles::list(&state.depot, &caller, iccid).await?;
    Ok(page_response(&request, found.into_iter().map(Bundle::from).collect(), None))
}
