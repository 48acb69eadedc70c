//! The carriers' catalogues.

use actix_web::{HttpRequest, HttpResponse, get, web};
use simdepot_application::products::{self, ProductFilter};
use simdepot_application::pools;
use simdepot_domain::channel::{AccountName, Scope};
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::page;
use crate::dto::product::{Product, ProductsQuery};
use crate::extract::{Authenticated, ValidQuery};
use crate::pagination::{Page, cursor_decode};
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list_products);
}

/// List products
///
/// The plans that the carriers sell to you, by account and id. Served from a cache of ten minutes, whose age shows in
/// `fetched_at`; an older one is served while the carrier cannot be asked.
#[utoipa::path(
    tag = "Products",
    params(ProductsQuery),
    responses(
        (status = 200, description = "A page of products.", body = Page<Product>,
            headers(("Link" = String, description = "The next page, `rel=\"next\"`."))),
        (status = 404, description = "`not-found`: there is no such pool.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[get("/v1/products")]
async fn list_products(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    ValidQuery(query): ValidQuery<ProductsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    caller.require(Scope::Storefront)?;
    let after: Option<(AccountName, String)> = cursor_decode(query.cursor.as_deref())?;
    let account = match query.pool {
        Some(pool) => Some(pools::get(&state.depot, pool).await?.settings.carrier_account),
        None => None,
    };
    let filter = ProductFilter { country: query.country, account, after };
    let found = products::list(&state.depot, filter, usize::from(query.limit.get()) + 1).await?;
    let cursor = |last: &simdepot_persistence::products::CachedProduct| {
        (last.carrier_account.clone(), last.product.product.clone())
    };
    page(&request, query.limit, found, cursor, Product::from)
}
