//! Activation codes and their QR codes. Every answer here is a reveal, recorded before it leaves.

use actix_web::{HttpResponse, get, web};
use simdepot_application::{AppError, activation};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::qr::{self, QrError};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::dto::activation::{Activation, Picture, PngQuery};
use crate::dto::headers::ProfilePath;
use crate::extract::{Authenticated, PathParam, ValidQuery};
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(get_activation).service(get_qr_svg).service(get_qr_png);
}

/// Every stored code fits a QR code; one that does not is a fault of ours.
fn unprintable(error: &QrError) -> AppError {
    AppError::Internal(error.to_string())
}

/// Get the activation code
///
/// Only for a profile on a fulfilled order of your channel.
#[utoipa::path(
    tag = "Activation",
    security(("bearer" = ["storefront"])),
    params(ProfilePath),
    responses(
        (status = 200, description = "The code, exactly as delivered.", body = Activation),
        (status = 409, description = "`invalid-transition`: the order is not fulfilled, or the profile is not sold.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/v1/profiles/{iccid}/activation")]
async fn get_activation(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
) -> ApiResult<HttpResponse> {
    let code = activation::reveal(&state.depot, &caller, iccid.clone()).await?;
    Ok(HttpResponse::Ok().json(Activation::new(&state.settings.public_url, &iccid, &code)))
}

/// Get the QR code as SVG
#[utoipa::path(
    tag = "Activation",
    security(("bearer" = ["storefront"])),
    params(ProfilePath),
    responses(
        (status = 200, description = "The QR code.", body = String, content_type = "image/svg+xml"),
        (status = 409, description = "`invalid-transition`: the order is not fulfilled, or the profile is not sold.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/v1/profiles/{iccid}/qr.svg")]
async fn get_qr_svg(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
) -> ApiResult<HttpResponse> {
    let code = activation::reveal(&state.depot, &caller, iccid).await?;
    let picture = qr::svg(&code.lpa()).map_err(|error| unprintable(&error))?;
    Ok(HttpResponse::Ok().content_type("image/svg+xml").body(picture))
}

/// Get the QR code as PNG
#[utoipa::path(
    tag = "Activation",
    security(("bearer" = ["storefront"])),
    params(ProfilePath, PngQuery),
    responses(
        (status = 200, description = "The QR code.", body = inline(Picture), content_type = "image/png"),
        (status = 409, description = "`invalid-transition`: the order is not fulfilled, or the profile is not sold.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/v1/profiles/{iccid}/qr.png")]
async fn get_qr_png(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
    ValidQuery(query): ValidQuery<PngQuery>,
) -> ApiResult<HttpResponse> {
    let code = activation::reveal(&state.depot, &caller, iccid).await?;
    let picture = qr::png(&code.lpa(), query.module_px).map_err(|error| unprintable(&error))?;
    Ok(HttpResponse::Ok().content_type("image/png").body(picture))
}
