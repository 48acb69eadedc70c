//! What a supervisor asks: is the process alive, can it serve, what does it measure. Without authentication; keep
//! `/metrics` inside.

use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

/// The answer of the health checks.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`; anything else is an error status.
    #[schema(value_type = String, example = "ok")]
    pub status: &'static str,
}

const OK: Health = Health { status: "ok" };

/// Registers `/livez`, `/readyz` and `/metrics`.
pub fn configure(config: &mut ServiceConfig<'_>) {
    config.service(livez).service(readyz).service(metrics);
}

/// Whether the process answers.
#[utoipa::path(tag = "Service", security(()), responses((status = 200, description = "It does", body = Health)))]
#[get("/livez")]
pub(crate) async fn livez() -> web::Json<Health> {
    web::Json(OK)
}

/// Whether the database answers and has every migration.
///
/// Carriers are left out: when one fails, stock without a bundle can still be handed out.
#[utoipa::path(tag = "Service", security(()), responses(
    (status = 200, description = "It is ready", body = Health),
    (status = 503, description = "Not ready: `busy`", body = Problem, content_type = "application/problem+json"),
))]
#[get("/readyz")]
pub(crate) async fn readyz(state: web::Data<AppState>) -> ApiResult<web::Json<Health>> {
    match state.depot.store.check_ready().await {
        Ok(()) => Ok(web::Json(OK)),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            Err(Problem::new(
                crate::problem::ProblemCode::Busy,
                "the database does not answer or lacks migrations",
            ))
        }
    }
}

/// Metrics in Prometheus's text format.
#[utoipa::path(tag = "Service", security(()), responses(
    (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
))]
#[get("/metrics")]
pub(crate) async fn metrics(state: web::Data<AppState>) -> HttpResponse {
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    HttpResponse::Ok().insert_header(kind).body(state.metrics.render())
}
