//! Service profiles.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, put, web};
use simdepot_application::service_profiles;
use simdepot_domain::line::CatalogueName;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, page, position};
use crate::dto::headers::ServiceProfilePath;
use crate::dto::rate_plan::CatalogueQuery;
use crate::dto::service_profile::{ServiceProfile, ServiceProfileRequest};
use crate::extract::{Authenticated, PathParam, ValidJson, ValidQuery};
use crate::pagination::Page;
use crate::problem::ApiResult;
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list_service_profiles).service(get_service_profile).service(put_service_profile);
}

/// List service profiles
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"]), ("bearer" = ["admin"])),
    params(CatalogueQuery),
    responses((status = 200, description = "A page of service profiles, by name.", body = Page<ServiceProfile>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/service-profiles")]
async fn list_service_profiles(
    state: web::Data<AppState>,
    _: Authenticated,
    ValidQuery(query): ValidQuery<CatalogueQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let after = position(query.cursor.as_deref())?;
    let found = service_profiles::list(&state.depot, after, query.limit.with_one_more()).await?;
    page(&request, query.limit, found, |last| last.named.name.clone(), ServiceProfile::from)
}

/// Get a service profile
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"]), ("bearer" = ["admin"])),
    params(ServiceProfilePath),
    responses((status = 200, description = "The service profile.", body = ServiceProfile))
)]
#[get("/v1/service-profiles/{name}")]
async fn get_service_profile(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(name): PathParam<CatalogueName>,
) -> ApiResult<HttpResponse> {
    let view = service_profiles::get(&state.depot, name.to_string()).await?;
    Ok(HttpResponse::Ok().json(ServiceProfile::from(view)))
}

/// Write a service profile
///
/// A rate plan with options under a name, which commands to lines can refer to. It replaces what was there; the same again
/// changes nothing.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["admin"]), ("bearer" = ["lines"])),
    params(ServiceProfilePath),
    request_body = ServiceProfileRequest,
    responses(
        (status = 200, description = "The service profile as it is now.", body = ServiceProfile),
        (status = 201, description = "The service profile was made.", body = ServiceProfile),
    )
)]
#[put("/v1/service-profiles/{name}")]
async fn put_service_profile(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(name): PathParam<CatalogueName>,
    ValidJson(request): ValidJson<ServiceProfileRequest>,
) -> ApiResult<HttpResponse> {
    let (view, made) = service_profiles::put(&state.depot, name.to_string(), request.into()).await?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Answer { status, location: None, replayed: false }.json(&ServiceProfile::from(view)))
}
