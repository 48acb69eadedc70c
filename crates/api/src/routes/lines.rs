//! Reading lines: how one stands, its SIM card, its security codes, what it uses, and the groups.

use actix_web::{HttpRequest, HttpResponse, get, web};
use simdepot_application::{groups, lines, security_codes, usage};
use simdepot_domain::iccid::Iccid;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{page, position};
use crate::dto::headers::ProfilePath;
use crate::dto::line::{Group, GroupsQuery, Line, SecurityCodes, SimCard};
use crate::dto::usage::{Usage, UsageQuery};
use crate::extract::{Authenticated, PathParam, ValidQuery};
use crate::pagination::Page;
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(get_line)
        .service(get_sim_card)
        .service(get_security_codes)
        .service(get_usage)
        .service(list_groups);
}

/// Get a line
///
/// Read at the carrier now, from the best source that the account may read. Where it may read none: what was last known,
/// with its own `observed_at` and `source`.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"])),
    params(ProfilePath),
    responses((status = 200, description = "How the line stands.", body = Line))
)]
#[get("/v1/profiles/{iccid}/line")]
async fn get_line(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
) -> ApiResult<HttpResponse> {
    let view = lines::read(&state.depot, &caller, iccid).await?;
    Ok(HttpResponse::Ok().json(Line::from(view)))
}

/// Get a SIM card
///
/// What the card itself is, read at the carrier now. Never shows its codes.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"])),
    params(ProfilePath),
    responses(
        (status = 200, description = "The card.", body = SimCard),
        (status = 409, description = "`unsupported-by-carrier` (`carrier_code`): this account cannot read it.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/v1/profiles/{iccid}/line/sim-card")]
async fn get_sim_card(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
) -> ApiResult<HttpResponse> {
    let (profile, card) = lines::sim_card(&state.depot, &caller, iccid).await?;
    Ok(HttpResponse::Ok().json(SimCard::new(profile.iccid, profile.msisdn, card)))
}

/// Get a SIM card's security codes
///
/// As they were delivered, else as the carrier has them; those are kept nowhere. That they were shown is an event, written
/// before the answer leaves: one per profile, key and hour.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["secrets"])),
    params(ProfilePath),
    responses(
        (status = 200, description = "The codes.", body = SecurityCodes),
        (status = 409, description = "`unsupported-by-carrier` (`carrier_code`): they were not delivered, and this account \
            cannot read them.", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/v1/profiles/{iccid}/line/security-codes")]
async fn get_security_codes(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
) -> ApiResult<HttpResponse> {
    let revealed = security_codes::reveal(&state.depot, &caller, iccid).await?;
    // As every answer, it is kept by no cache.
    Ok(HttpResponse::Ok().json(SecurityCodes::from(revealed)))
}

/// Get a line's usage
///
/// What is left of the bundles on the line, read at the carrier now, and what was used by hour, day or month where the
/// carrier account has a source for it.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"])),
    params(ProfilePath, UsageQuery),
    responses(
        (status = 200, description = "The usage.", body = Usage),
        (status = 409, description = "`unsupported-by-carrier`: this carrier has neither bundles nor usage.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/v1/profiles/{iccid}/usage")]
async fn get_usage(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
    ValidQuery(query): ValidQuery<UsageQuery>,
) -> ApiResult<HttpResponse> {
    let used = usage::get(&state.depot, &caller, iccid, query.into()).await?;
    Ok(HttpResponse::Ok().json(Usage::from(used)))
}

/// List groups
///
/// With how many of their lines stand where, as last known. The lines without a group come first.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"])),
    params(GroupsQuery),
    responses((status = 200, description = "A page of groups, by name.", body = Page<Group>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/groups")]
async fn list_groups(
    state: web::Data<AppState>,
    _: Authenticated,
    ValidQuery(query): ValidQuery<GroupsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let after = match query.cursor.as_deref() {
        Some(cursor) => position(Some(cursor))?,
        None => None,
    };
    let found = groups::list(&state.depot, query.carrier_account, after, query.limit.with_one_more()).await?;
    page(&request, query.limit, found, |last| last.name.clone(), Group::from)
}
