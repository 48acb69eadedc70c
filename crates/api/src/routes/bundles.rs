//! Bundles of a profile: top-ups and what is left.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use simdepot_application::bundles::{self, TopUp};
use simdepot_application::idempotency::IdempotencyKey;
use simdepot_application::orders::{OrderBundle, PlacedAs};
use simdepot_application::{Caller, line_operations};
use simdepot_domain::channel::Scope;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::BundleId;
use simdepot_domain::operation::BundleCommand;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::Answer;
use crate::dto::bundle::{Bundle, BundleTerminateRequest, CancelRenewalRequest, TopUpRequest};
use crate::dto::headers::{BundlePath, IdempotencyHeader as IdempotencyHeaderDoc, PreferHeader, ProfilePath};
use crate::dto::operation::Operation;
use crate::extract::{Authenticated, Idempotent, IdempotentEmpty, PathPair, PathParam, PreferWait};
use crate::pagination::{Page, page_response};
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(create_bundle).service(list_bundles).service(cancel_renewal).service(terminate_bundle);
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
            product; `unsupported-by-carrier`: the carrier sells no products; `reference-conflict`; `idempotency-in-flight`.", body = Problem,
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
    responses(
        (status = 200, description = "The bundles, oldest first, in one page.", body = Page<Bundle>),
        (status = 409, description = "`unsupported-by-carrier`: the profile's carrier has no bundles.", body = Problem,
            content_type = "application/problem+json"),
    )
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

/// Cancel a bundle's renewal
///
/// The bundle runs on to the end of its period and is not renewed. What the carrier makes of it is told by the operation,
/// and by the bundle.
#[utoipa::path(
    tag = "Bundles",
    security(("bearer" = ["storefront"])),
    params(BundlePath, IdempotencyHeaderDoc),
    request_body = Option<CancelRenewalRequest>,
    responses(
        (status = 202, description = "Taken; the outcome is open.", body = Operation, headers(
            ("Location" = String, description = "The operation; for keys without the scope `lines` the profile's bundles."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key asked for it."))),
        (status = 409, description = "`invalid-transition`: the bundle is over, or the carrier has not confirmed it, or another \
            operation of the profile is open; `unsupported-by-carrier`; `idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/profiles/{iccid}/bundles/{bundle}/cancel-renewal")]
async fn cancel_renewal(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathPair(iccid, bundle): PathPair<Iccid, BundleId>,
    asked: IdempotentEmpty<CancelRenewalRequest>,
) -> ApiResult<HttpResponse> {
    change(&state, &caller, (iccid, bundle), BundleCommand::CancelRenewal, asked.key.as_ref()).await
}

/// Terminate a bundle
///
/// Ends it at once; what is left of it is lost. `confirm` must be true, else the answer is 422 `confirmation-required`.
#[utoipa::path(
    tag = "Bundles",
    security(("bearer" = ["storefront"])),
    params(BundlePath, IdempotencyHeaderDoc),
    request_body = BundleTerminateRequest,
    responses(
        (status = 202, description = "Taken; the outcome is open.", body = Operation, headers(
            ("Location" = String, description = "The operation; for keys without the scope `lines` the profile's bundles."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key asked for it."))),
        (status = 409, description = "`invalid-transition`: the bundle is over, or the carrier has not confirmed it, or another \
            operation of the profile is open; `unsupported-by-carrier`; `idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/profiles/{iccid}/bundles/{bundle}/terminate")]
async fn terminate_bundle(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathPair(iccid, bundle): PathPair<Iccid, BundleId>,
    asked: IdempotentEmpty<BundleTerminateRequest>,
) -> ApiResult<HttpResponse> {
    asked.body.check()?;
    change(&state, &caller, (iccid, bundle), BundleCommand::Terminate, asked.key.as_ref()).await
}

async fn change(
    state: &AppState,
    caller: &Caller,
    (iccid, bundle): (Iccid, BundleId),
    command: BundleCommand,
    key: Option<&IdempotencyKey>,
) -> ApiResult<HttpResponse> {
    let of = (iccid.clone(), bundle);
    let (operation, replayed) =
        line_operations::change_bundle(&state.depot, caller, of, command, key).await?;
    // A storefront does not reach the operation.
    let location = if caller.may(Scope::Lines) {
        format!("/v1/operations/{}", operation.operation.id)
    } else {
        format!("/v1/profiles/{iccid}/bundles")
    };
    let answer = Answer { status: StatusCode::ACCEPTED, location: Some(location), replayed };
    Ok(answer.json(&Operation::from(operation)))
}
