//! The routes, one file per noun. A handler names its scope in its OpenAPI description (see `served`), reads its
//! input through extractors, calls one use case and renders the answer; rules live further in.

use utoipa_actix_web::service_config::ServiceConfig;

mod activation;
mod api_keys;
mod bundles;
mod cancellations;
mod carrier_events;
mod devices;
mod documents;
mod events;
mod holds;
pub(crate) mod imports;
mod line_commands;
mod line_jobs;
mod lines;
mod operations;
mod orders;
mod pools;
mod products;
mod profiles;
mod rate_plans;
mod reconciliations;
mod replacements;
mod reply;
mod service_profiles;
mod webhook_endpoints;

/// Registers every route of the API. The same call serves the routes and collects their OpenAPI description.
pub fn configure(config: &mut ServiceConfig) {
    config
        .configure(products::configure)
        .configure(pools::configure)
        .configure(orders::configure)
        .configure(holds::configure)
        .configure(cancellations::configure)
        .configure(profiles::configure)
        .configure(replacements::configure)
        .configure(activation::configure)
        .configure(bundles::configure)
        .configure(imports::configure)
        .configure(line_commands::configure)
        .configure(line_jobs::configure)
        .configure(lines::configure)
        .configure(devices::configure)
        .configure(rate_plans::configure)
        .configure(service_profiles::configure)
        .configure(operations::configure)
        .configure(events::configure)
        .configure(webhook_endpoints::configure)
        .configure(api_keys::configure)
        .configure(reconciliations::configure)
        .configure(carrier_events::configure)
        .configure(crate::health::configure)
        .configure(documents::configure);
}
