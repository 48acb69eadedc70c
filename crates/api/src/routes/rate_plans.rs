//! Rate plans and their options.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, put, web};
use simdepot_application::rate_plans;
use simdepot_domain::line::CatalogueName;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, page, position};
use crate::dto::headers::RatePlanPath;
use crate::dto::rate_plan::{CatalogueQuery, RatePlan, RatePlanOptionsRequest};
use crate::extract::{Authenticated, PathParam, ValidJson, ValidQuery};
use crate::pagination::Page;
use crate::problem::ApiResult;
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list_rate_plans).service(get_rate_plan_options).service(put_rate_plan_options);
}

/// List rate plans
///
/// Those whose options were written down.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"]), ("bearer" = ["admin"])),
    params(CatalogueQuery),
    responses((status = 200, description = "A page of rate plans, by name.", body = Page<RatePlan>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/rate-plans")]
async fn list_rate_plans(
    state: web::Data<AppState>,
    _: Authenticated,
    ValidQuery(query): ValidQuery<CatalogueQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let after = position(query.cursor.as_deref())?;
    let found = rate_plans::list(&state.depot, after, query.limit.with_one_more()).await?;
    page(&request, query.limit, found, |last| last.rate_plan.clone(), RatePlan::from)
}

/// Get a rate plan's options
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"]), ("bearer" = ["admin"])),
    params(RatePlanPath),
    responses((status = 200, description = "The rate plan with its options.", body = RatePlan))
)]
#[get("/v1/rate-plans/{rate_plan}/options")]
async fn get_rate_plan_options(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(name): PathParam<CatalogueName>,
) -> ApiResult<HttpResponse> {
    let plan = rate_plans::get(&state.depot, name.to_string()).await?;
    Ok(HttpResponse::Ok().json(RatePlan::from(plan)))
}

/// Write a rate plan's options down
///
/// The carrier's portal lists them and its API does not: with them written down, commands to lines are checked before they
/// are sent. They replace what was there; the same again changes nothing.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["admin"]), ("bearer" = ["lines"])),
    params(RatePlanPath),
    request_body = RatePlanOptionsRequest,
    responses(
        (status = 200, description = "The rate plan as it is now.", body = RatePlan),
        (status = 201, description = "The rate plan was not known before.", body = RatePlan),
    )
)]
#[put("/v1/rate-plans/{rate_plan}/options")]
async fn put_rate_plan_options(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(name): PathParam<CatalogueName>,
    ValidJson(request): ValidJson<RatePlanOptionsRequest>,
) -> ApiResult<HttpResponse> {
    let (plan, made) = rate_plans::put(&state.depot, name.to_string(), request.into()).await?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Answer { status, location: None, replayed: false }.json(&RatePlan::from(plan)))
}
