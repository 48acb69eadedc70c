//! What a supervisor asks: is the process alive, can it serve, what does it measure. Without authentication; keep
//! `/metrics` inside.

use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use simdepot_application::{AppError, key_rotation};
use simdepot_persistence::StoreError;
use simdepot_persistence::vault::{VaultError, Wrapped};
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
    /// What works now and will not for long; absent when there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

const OK: Health = Health { status: "ok", warnings: Vec::new() };

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
        Ok(()) => Ok(web::Json(Health { warnings: key_warnings(&state).await, ..OK })),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            Err(Problem::new(
                crate::problem::ProblemCode::Busy,
                "the database does not answer or lacks migrations",
            ))
        }
    }
}

/// What is to be said of the encryption keys. One that is missing fails what it wraps and nothing else, so that the
/// process stays ready; it is also an error of the log.
async fn key_warnings(state: &AppState) -> Vec<String> {
    match key_rotation::count(&state.depot).await {
        Ok(Wrapped { previous: 0, .. }) => Vec::new(),
        Ok(Wrapped { current, previous }) => vec![format!(
            "{previous} of {} keys are still wrapped with SIMDEPOT_ENCRYPTION_KEY_PREVIOUS: run simdepot keys \
             rotate-encryption",
            current + previous
        )],
        Err(AppError::Store(StoreError::Vault(missing @ VaultError::KeyMissing { .. }))) => {
            vec![missing.to_string()]
        }
        Err(error) => {
            tracing::warn!(%error, "the encryption keys cannot be counted");
            Vec::new()
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
