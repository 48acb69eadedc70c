//! Pools and their stock.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, patch, post, web};
use simdepot_application::pools;
use simdepot_domain::channel::PoolName;
use simdepot_persistence::pools::Pool as StoredPool;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, page, position};
use crate::dto::headers::{IdempotencyHeader as IdempotencyHeaderDoc, PoolPath};
use crate::dto::pool::{Availability, Pool, PoolPatch, PoolRequest, PoolStock, PoolsQuery};
use crate::extract::{Authenticated, Idempotent, PathParam, ValidJson, ValidQuery};
use crate::pagination::Page;
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(create_pool)
        .service(list_pools)
        .service(get_pool)
        .service(update_pool)
        .service(get_pool_stock)
        .service(get_pool_availability);
}

fn shown(state: &AppState, pool: StoredPool) -> Pool {
    let capabilities = pools::capabilities(&state.depot, &pool.settings.carrier_account);
    Pool::new(pool, capabilities)
}

/// Create a pool
#[utoipa::path(
    tag = "Pools",
    security(("bearer" = ["stock"])),
    params(IdempotencyHeaderDoc),
    request_body = PoolRequest,
    responses(
        (status = 201, description = "The pool was made.", body = Pool, headers(
            ("Location" = String, description = "The pool."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key made it."),
        )),
        (status = 409, description = "`pool-exists`; `idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/pools")]
async fn create_pool(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    asked: Idempotent<PoolRequest>,
) -> ApiResult<HttpResponse> {
    let (pool, replayed) =
        pools::create(&state.depot, &caller, asked.body.into(), asked.key.as_ref()).await?;
    let location = Some(format!("/v1/pools/{}", pool.settings.pool));
    Ok(Answer { status: StatusCode::CREATED, location, replayed }.json(&shown(&state, pool)))
}

/// List pools
#[utoipa::path(
    tag = "Pools",
    security(("bearer" = ["stock"])),
    params(PoolsQuery),
    responses((status = 200, description = "A page of pools, by name.", body = Page<Pool>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/pools")]
async fn list_pools(
    state: web::Data<AppState>,
    _: Authenticated,
    ValidQuery(query): ValidQuery<PoolsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let after: Option<PoolName> = position(query.cursor.as_deref())?;
    let mut found = pools::list(&state.depot).await?;
    found.retain(|pool| after.as_ref().is_none_or(|after| pool.settings.pool > *after));
    page(&request, query.limit, found, |last| last.settings.pool.clone(), |pool| shown(&state, pool))
}

/// Get a pool
#[utoipa::path(
    tag = "Pools",
    security(("bearer" = ["stock"])),
    params(PoolPath),
    responses((status = 200, description = "The pool.", body = Pool))
)]
#[get("/v1/pools/{pool}")]
async fn get_pool(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(name): PathParam<PoolName>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(shown(&state, pools::get(&state.depot, name).await?)))
}

/// Change a pool
#[utoipa::path(
    tag = "Pools",
    security(("bearer" = ["stock"])),
    params(PoolPath),
    request_body = PoolPatch,
    responses((status = 200, description = "The pool as it is now.", body = Pool))
)]
#[patch("/v1/pools/{pool}")]
async fn update_pool(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(name): PathParam<PoolName>,
    ValidJson(patch): ValidJson<PoolPatch>,
) -> ApiResult<HttpResponse> {
    let pool = pools::change(&state.depot, name, patch.into()).await?;
    Ok(HttpResponse::Ok().json(shown(&state, pool)))
}

/// Count a pool's stock
///
/// Profiles by status, and how many of them could be sold now.
#[utoipa::path(
    tag = "Pools",
    security(("bearer" = ["stock"])),
    params(PoolPath),
    responses((status = 200, description = "The counts.", body = PoolStock))
)]
#[get("/v1/pools/{pool}/stock")]
async fn get_pool_stock(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(name): PathParam<PoolName>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(PoolStock::from(pools::stock(&state.depot, name).await?)))
}

/// Get a pool's availability
///
/// How many profiles an order could take now, the safety buffer left out.
#[utoipa::path(
    tag = "Pools",
    security(("bearer" = ["storefront"])),
    params(PoolPath),
    responses((status = 200, description = "How many may be sold.", body = Availability))
)]
#[get("/v1/pools/{pool}/availability")]
async fn get_pool_availability(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(name): PathParam<PoolName>,
) -> ApiResult<HttpResponse> {
    let available = pools::availability(&state.depot, name.clone()).await?;
    Ok(HttpResponse::Ok().json(Availability { pool: name, available }))
}
