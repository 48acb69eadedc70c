//! The routes, one file per noun. A handler reads its input through extractors, asks for its scope first, calls one use
//! case and renders the answer; rules live further in.

use utoipa_actix_web::service_config::ServiceConfig;

mod activation;
mod api_keys;
mod bundles;
mod documents;
mod holds;
pub(crate) mod imports;
mod operations;
mod orders;
mod pools;
mod products;
mod profiles;
mod reply;

/// Registers every route of the API. The same call serves the routes and collects their OpenAPI description.
pub fn configure(config: &mut ServiceConfig) {
    config
        .configure(products::configure)
        .configure(pools::configure)
        .configure(orders::configure)
        .configure(holds::configure)
        .configure(profiles::configure)
        .configure(activation::configure)
        .configure(bundles::configure)
        .configure(imports::configure)
        .configure(operations::configure)
        .configure(api_keys::configure)
        .configure(crate::health::configure)
        .configure(documents::configure);
}
