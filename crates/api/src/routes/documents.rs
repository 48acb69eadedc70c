//! The OpenAPI document and its browser. Everything is served from the binary and linked relatively, so that it works
//! without a network and behind a path prefix.

use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CONTENT_ENCODING, LOCATION};
use actix_web::{HttpResponse, get, web};
use simdepot_application::AppError;
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_swagger_ui::{Config, serve};

use crate::openapi;
use crate::problem::ApiResult;

/// The document does not change while the process lives.
static DOCUMENT: LazyLock<Result<String, String>> =
    LazyLock::new(|| openapi::document().to_json().map_err(|error| error.to_string()));

static BROWSER: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::from("../openapi.json").try_it_out_enabled(true).persist_authorization(false);
    Arc::new(config.deep_linking(true).display_operation_id(true))
});

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(get_openapi)
        .map(|inner| inner.service(welcome).service(browser_without_slash).service(browser));
}

/// Get this document
#[utoipa::path(
    tag = "Service",
    security(()),
    responses((status = 200, description = "The OpenAPI document of this service.", body = serde_json::Value))
)]
#[get("/openapi.json")]
async fn get_openapi() -> ApiResult<HttpResponse> {
    let document = DOCUMENT.as_ref().map_err(|error| AppError::Internal(error.clone()))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(document.as_str()))
}

fn to_browser() -> HttpResponse {
    // Relative (RFC 9110 §10.2.2): right for `/` and for `/docs`, with and without a prefix before them.
    HttpResponse::Found().insert_header((LOCATION, "docs/")).finish()
}

#[get("/")]
async fn welcome() -> HttpResponse {
    to_browser()
}

#[get("/docs")]
async fn browser_without_slash() -> HttpResponse {
    to_browser()
}

#[get("/docs/{file:.*}")]
async fn browser(file: web::Path<String>) -> ApiResult<HttpResponse> {
    let found = serve(&file, Arc::clone(&BROWSER)).map_err(|error| AppError::Internal(error.to_string()))?;
    let found = found.ok_or(AppError::NotFound { what: "page" })?;
    let mut response = HttpResponse::Ok();
    if found.gzpipped {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    Ok(response.content_type(found.content_type).body(found.bytes.into_owned()))
}
