//! Profiles: reading, searching, editing and moving them.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, patch, post, web};
use simdepot_application::profiles::{self, Move};
use simdepot_application::{Caller, timeline};
use simdepot_domain::channel::Scope;
use simdepot_domain::iccid::Iccid;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, position};
use crate::dto::headers::{IdempotencyHeader as IdempotencyHeaderDoc, ProfilePath};
use crate::dto::profile::{MoveRequest, Profile, ProfilePatch, ProfilesQuery};
use crate::dto::timeline::Timeline;
use crate::extract::{Authenticated, Idempotent, PathParam, ValidJson, ValidQuery};
use crate::pagination::{Page, cursor_encode, page_response};
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(search_profiles)
        .service(get_profile)
        .service(get_timeline)
        .service(update_profile)
        .service(quarantine_profile)
        .service(release_profile)
        .service(retire_profile);
}

/// Search profiles
///
/// The whole stock, oldest first, without activation codes. With several filters a page may hold fewer than `limit`, even
/// none, although there are more: `next_cursor` is null on the last page alone.
#[utoipa::path(
    tag = "Profiles",
    security(("bearer" = ["stock"])),
    params(ProfilesQuery),
    responses(
        (status = 200, description = "A page of profiles.", body = Page<Profile>,
            headers(("Link" = String, description = "The next page, `rel=\"next\"`."))),
        (status = 404, description = "`not-found`: there is no such pool.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[get("/v1/profiles")]
async fn search_profiles(
    state: web::Data<AppState>,
    _: Authenticated,
    ValidQuery(query): ValidQuery<ProfilesQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let (limit, after) = (query.limit, position(query.cursor.as_deref())?);
    let found = profiles::search(&state.depot, query.into_search(after), limit.with_one_more()).await?;
    let (rows, next) = limit.cut(found.profiles, |last| last.profile.id);
    // A page that is not full may not be the last one: then it says how far it has looked.
    let next = next.or_else(|| found.looked_up_to.as_ref().map(cursor_encode));
    Ok(page_response(&request, rows.into_iter().map(|view| Profile::new(view, true)).collect(), next))
}

/// Get a profile
///
/// A stock keeper sees every profile, a storefront those allocated to its own channel. Never shows the activation code.
#[utoipa::path(
    tag = "Profiles",
    security(("bearer" = ["storefront"]), ("bearer" = ["stock"])),
    params(ProfilePath),
    responses((status = 200, description = "The profile.", body = Profile))
)]
#[get("/v1/profiles/{iccid}")]
async fn get_profile(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
) -> ApiResult<HttpResponse> {
    let view = profiles::get(&state.depot, &caller, iccid).await?;
    Ok(HttpResponse::Ok().json(Profile::new(view, caller.may(Scope::Stock))))
}

/// Get a profile's timeline
///
/// Everything that happened to it, oldest first, each in a sentence for a support agent, and what it comes down to. A
/// storefront sees the story of its own order and the delivery. Never shows the activation code.
#[utoipa::path(
    tag = "Profiles",
    security(("bearer" = ["storefront"]), ("bearer" = ["stock"])),
    params(ProfilePath),
    responses((status = 200, description = "The story, in one page.", body = Timeline))
)]
#[get("/v1/profiles/{iccid}/timeline")]
async fn get_timeline(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
) -> ApiResult<HttpResponse> {
    let story = timeline::get(&state.depot, &caller, iccid).await?;
    Ok(HttpResponse::Ok().json(Timeline::from(story)))
}

/// Change a profile
///
/// Its pool, tags, note and last day of sale. Where it stands in the stock is changed by commands alone.
#[utoipa::path(
    tag = "Profiles",
    security(("bearer" = ["stock"])),
    params(ProfilePath),
    request_body = ProfilePatch,
    responses(
        (status = 200, description = "The profile as it is now.", body = Profile),
        (status = 409, description = "`invalid-transition`: the pool of a sold profile stays.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[patch("/v1/profiles/{iccid}")]
async fn update_profile(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(iccid): PathParam<Iccid>,
    ValidJson(patch): ValidJson<ProfilePatch>,
) -> ApiResult<HttpResponse> {
    let view = profiles::edit(&state.depot, iccid, patch.into()).await?;
    Ok(HttpResponse::Ok().json(Profile::new(view, true)))
}

async fn command(
    state: &AppState,
    caller: &Caller,
    iccid: Iccid,
    asked: Move,
    request: Idempotent<MoveRequest>,
) -> ApiResult<HttpResponse> {
    let Idempotent { body, key } = request;
    let (view, replayed) =
        profiles::command(&state.depot, caller, iccid, asked, body.reason, key.as_ref()).await?;
    Ok(Answer { status: StatusCode::OK, location: None, replayed }.json(&Profile::new(view, true)))
}

/// Quarantine a profile
///
/// Sets it aside: it is not sold until a person releases it.
#[utoipa::path(
    tag = "Profiles",
    security(("bearer" = ["stock"])),
    params(ProfilePath, IdempotencyHeaderDoc),
    request_body = MoveRequest,
    responses(
        (status = 200, description = "The profile as it is now.", body = Profile, headers(
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 409, description = "`invalid-transition` (`from`, `command`); `idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/profiles/{iccid}/quarantine")]
async fn quarantine_profile(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
    request: Idempotent<MoveRequest>,
) -> ApiResult<HttpResponse> {
    command(&state, &caller, iccid, Move::Quarantine, request).await
}

/// Release a profile
///
/// Puts a quarantined profile back on sale.
#[utoipa::path(
    tag = "Profiles",
    security(("bearer" = ["stock"])),
    params(ProfilePath, IdempotencyHeaderDoc),
    request_body = MoveRequest,
    responses(
        (status = 200, description = "The profile as it is now.", body = Profile, headers(
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 409, description = "`invalid-transition` (`from`, `command`); `idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/profiles/{iccid}/release")]
async fn release_profile(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
    request: Idempotent<MoveRequest>,
) -> ApiResult<HttpResponse> {
    command(&state, &caller, iccid, Move::Release, request).await
}

/// Retire a profile
///
/// Takes it out of the stock for good.
#[utoipa::path(
    tag = "Profiles",
    security(("bearer" = ["stock"])),
    params(ProfilePath, IdempotencyHeaderDoc),
    request_body = MoveRequest,
    responses(
        (status = 200, description = "The profile as it is now.", body = Profile, headers(
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 409, description = "`invalid-transition` (`from`, `command`); `idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/profiles/{iccid}/retire")]
async fn retire_profile(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
    request: Idempotent<MoveRequest>,
) -> ApiResult<HttpResponse> {
    command(&state, &caller, iccid, Move::Retire, request).await
}
