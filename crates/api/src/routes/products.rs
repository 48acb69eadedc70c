//! The carriers' catalogues.

use actix_web::{HttpRequest, HttpResponse, get, web};
use simdepot_application::pools;
use simdepot_application::products::{self, ProductFilter};
use simdepot_domain::channel::AccountName;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{page, position};
use crate::dto::product::{Product, ProductsQuery};
use crate::extract::{Authenticated, ValidQuery};
use crate::pagination::Page;
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list_products);
}

/// List products
///
/// The plans that the carriers sell to you, by account and id. Served from a cache of ten minutes, whose age shows in
/// `fetched_at`; an older one is served while the carrier cannot be asked. Carriers that sell none are passed over.
#[utoipa::path(
    tag = "Products",
    security(("bearer" = ["storefront"])),
    params(ProductsQuery),
    responses(
        (status = 200, description = "A page of products.", body = Page<Product>,
            headers(("Link" = String, description = "The next page, `rel=\"next\"`."))),
        (status = 404, description = "`not-found`: there is no such pool.", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`unsupported-by-carrier`: the pool's carrier sells no products.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[get("/v1/products")]
async fn list_products(
    state: web::Data<AppState>,
    _: Authenticated,
    ValidQuery(query): ValidQuery<ProductsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let after: Option<(AccountName, String)> = position(query.cursor.as_deref())?;
    let account = match query.pool {
        Some(pool) => Some(pools::get(&state.depot, pool).await?.settings.carrier_account),
        None => None,
    };
    let filter = ProductFilter { country: query.country, account, after };
    let limit = usize::try_from(query.limit.with_one_more()).unwrap_or(usize::MAX);
    let found = products::list(&state.depot, filter, limit).await?;
    let cursor = |last: &simdepot_persistence::products::CachedProduct| {
        (last.carrier_account.clone(), last.product.product.clone())
    };
    page(&request, query.limit, found, cursor, Product::from)
}
