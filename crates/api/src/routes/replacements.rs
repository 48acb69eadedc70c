//! Replacing sold profiles.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use simdepot_application::replacements;
use simdepot_domain::iccid::Iccid;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::Answer;
use crate::dto::headers::{IdempotencyHeader as IdempotencyHeaderDoc, ProfilePath};
use crate::dto::profile::MoveRequest;
use crate::dto::replacement::ReplacedProfile;
use crate::extract::{Authenticated, Idempotent, PathParam};
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(replace_profile);
}

/// Replace a sold profile
///
/// For one that the customer deleted or cannot use: another profile of its pool takes its place in the same order, and
/// the product of the order is placed on that. The old one is retired when its eSIM was deleted, and set aside
/// otherwise; what the carrier has placed on it stays there.
#[utoipa::path(
    tag = "Profiles",
    security(("bearer" = ["stock"])),
    params(ProfilePath, IdempotencyHeaderDoc),
    request_body = MoveRequest,
    responses(
        (status = 201, description = "The new profile.", body = ReplacedProfile, headers(
            ("Location" = String, description = "The new profile."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 409, description = "`invalid-transition` (`from`, `command`): it is not sold, its order is in progress or \
            being cancelled, or an operation of it is open; `out-of-stock`: its pool has no other; \
            `idempotency-in-flight`.", body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/v1/profiles/{iccid}/replace")]
async fn replace_profile(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
    request: Idempotent<MoveRequest>,
) -> ApiResult<HttpResponse> {
    let Idempotent { body, key } = request;
    let made = replacements::replace(&state.depot, &caller, iccid, body.reason, key.as_ref()).await?;
    let location = Some(format!("/v1/profiles/{}", made.profile.profile.iccid));
    let answer = Answer { status: StatusCode::CREATED, location, replayed: made.replayed };
    Ok(answer.json(&ReplacedProfile::from(made)))
}
