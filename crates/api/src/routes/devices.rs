//! Devices: models, the one that a line is used in and its changes, and the block list.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, post, put, web};
use simdepot_application::operations::OperationView;
use simdepot_application::{Caller, devices};
use simdepot_domain::carrier::DeviceQuery;
use simdepot_domain::channel::Scope;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::Answer;
use crate::dto::device::{
    Device, DeviceBlock, DeviceBlockRequest, DeviceChangePreview, DeviceChangeRequest, DeviceModel,
    DeviceQueryParams, ModelQueryParams,
};
use crate::dto::headers::{DevicePath, IdempotencyHeader as IdempotencyHeaderDoc, ProfilePath};
use crate::dto::operation::Operation;
use crate::extract::{Authenticated, Idempotent, PathParam, ValidJson, ValidQuery};
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    // The path without a device goes before those with one.
    config
        .service(get_device_model)
        .service(get_device_compatibility)
        .service(get_device_block)
        .service(block_device)
        .service(unblock_device)
        .service(get_device)
        .service(change_device);
}

/// A device in the path. It is nothing that could be missing here, so that what is none is told as a wrong field.
fn device(text: &str) -> Result<Imei, Problem> {
    text.parse::<Imei>().map_err(|error| Problem::invalid_field("{imei}", "format", error.to_string()))
}

/// Get what works with a model
///
/// What the carrier knows of all devices with a type allocation code, read now.
#[utoipa::path(
    tag = "Devices",
    security(("bearer" = ["devices"])),
    params(ModelQueryParams),
    responses(
        (status = 200, description = "What the carrier knows of the model.", body = DeviceModel),
        (status = 404, description = "`not-found`: no such carrier account, or the carrier does not know the model.",
            body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`unsupported-by-carrier` (`carrier_code`): this account cannot read it.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/v1/devices/compatibility")]
async fn get_device_model(
    state: web::Data<AppState>,
    _: Authenticated,
    ValidQuery(query): ValidQuery<ModelQueryParams>,
) -> ApiResult<HttpResponse> {
    let ModelQueryParams { tac, carrier_account } = query;
    let view = devices::model(&state.depot, carrier_account, DeviceQuery::Tac(tac)).await?;
    Ok(HttpResponse::Ok().json(DeviceModel::from(view)))
}

/// Get what works with a device
///
/// What the carrier knows of a device's model, read now.
#[utoipa::path(
    tag = "Devices",
    security(("bearer" = ["devices"])),
    params(DevicePath, DeviceQueryParams),
    responses(
        (status = 200, description = "What the carrier knows of the model.", body = DeviceModel),
        (status = 404, description = "`not-found`: no such carrier account, or the carrier does not know the model.",
            body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`unsupported-by-carrier` (`carrier_code`): this account cannot read it.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/v1/devices/{imei}/compatibility")]
async fn get_device_compatibility(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(imei): PathParam<String>,
    ValidQuery(query): ValidQuery<DeviceQueryParams>,
) -> ApiResult<HttpResponse> {
    let asked = DeviceQuery::Imei(device(&imei)?);
    let view = devices::model(&state.depot, query.carrier_account, asked).await?;
    Ok(HttpResponse::Ok().json(DeviceModel::from(view)))
}

/// Get whether a device is blocked
///
/// Read at the carrier now.
#[utoipa::path(
    tag = "Devices",
    security(("bearer" = ["devices"])),
    params(DevicePath, DeviceQueryParams),
    responses(
        (status = 200, description = "Whether it is on the carrier's block list.", body = DeviceBlock),
        (status = 404, description = "`not-found`: no such carrier account.", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`unsupported-by-carrier` (`carrier_code`): this account cannot read it.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/v1/devices/{imei}/blocklist")]
async fn get_device_block(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(imei): PathParam<String>,
    ValidQuery(query): ValidQuery<DeviceQueryParams>,
) -> ApiResult<HttpResponse> {
    let view = devices::is_blocked(&state.depot, query.carrier_account, device(&imei)?).await?;
    Ok(HttpResponse::Ok().json(DeviceBlock::from(view)))
}

/// Block a device
///
/// Puts it on the carrier's block list. Carriers want to know the line that it is used with: a profile in a pool of the
/// account.
#[utoipa::path(
    tag = "Devices",
    security(("bearer" = ["devices"])),
    params(DevicePath, DeviceQueryParams),
    request_body = DeviceBlockRequest,
    responses(
        (status = 202, description = "Taken: follow the operation (`block_device`).", body = Operation, headers(
            ("Location" = String, description = "The operation; for keys without the scope `lines` the device's block."))),
        (status = 404, description = "`not-found`: no such carrier account, or no such line in a pool of it.",
            body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`invalid-transition` (`from`, `command`): another operation of the profile is open, or \
            the profile is reserved; `unsupported-by-carrier`.", body = Problem, content_type = "application/problem+json"),
    )
)]
#[put("/v1/devices/{imei}/blocklist")]
async fn block_device(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(imei): PathParam<String>,
    ValidQuery(query): ValidQuery<DeviceQueryParams>,
    ValidJson(asked): ValidJson<DeviceBlockRequest>,
) -> ApiResult<HttpResponse> {
    set_block(&state, &caller, (&imei, query), asked, true).await
}

/// Unblock a device
///
/// Takes it off the carrier's block list. Carriers want to know the line that it is used with: a profile in a pool of the
/// account.
#[utoipa::path(
    tag = "Devices",
    security(("bearer" = ["devices"])),
    params(DevicePath, DeviceQueryParams),
    request_body = DeviceBlockRequest,
    responses(
        (status = 202, description = "Taken: follow the operation (`unblock_device`).", body = Operation, headers(
            ("Location" = String, description = "The operation; for keys without the scope `lines` the device's block."))),
        (status = 404, description = "`not-found`: no such carrier account, or no such line in a pool of it.",
            body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`invalid-transition` (`from`, `command`): another operation of the profile is open, or \
            the profile is reserved; `unsupported-by-carrier`.", body = Problem, content_type = "application/problem+json"),
    )
)]
#[delete("/v1/devices/{imei}/blocklist")]
async fn unblock_device(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(imei): PathParam<String>,
    ValidQuery(query): ValidQuery<DeviceQueryParams>,
    ValidJson(asked): ValidJson<DeviceBlockRequest>,
) -> ApiResult<HttpResponse> {
    set_block(&state, &caller, (&imei, query), asked, false).await
}

async fn set_block(
    state: &AppState,
    caller: &Caller,
    (imei, query): (&str, DeviceQueryParams),
    asked: DeviceBlockRequest,
    block: bool,
) -> ApiResult<HttpResponse> {
    let (account, imei, used_with) = (query.carrier_account, device(imei)?, asked.used_with()?);
    let otherwise = format!("/v1/devices/{imei}/blocklist?carrier_account={account}");
    let operation = devices::block(&state.depot, caller, (account, imei), used_with, block).await?;
    Ok(taken(caller, operation, false, otherwise))
}

/// Get a line's device
///
/// The device that the line is used in, read at the carrier now and kept nowhere.
#[utoipa::path(
    tag = "Devices",
    security(("bearer" = ["devices"])),
    params(ProfilePath),
    responses(
        (status = 200, description = "The device.", body = Device),
        (status = 409, description = "`unsupported-by-carrier` (`carrier_code`): this account cannot read it; with \
            `NOTHING_TO_ASK_BY` not yet, because the line's number is not known.", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/v1/profiles/{iccid}/device")]
async fn get_device(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
) -> ApiResult<HttpResponse> {
    let view = devices::of_line(&state.depot, &caller, iccid).await?;
    Ok(HttpResponse::Ok().json(Device::from(view)))
}

/// Change a line's device
///
/// Moves an active line to another device, another SIM or both. A new SIM takes the line over with its number, its order and
/// its bundles; the old one is retired.
#[utoipa::path(
    tag = "Devices",
    security(("bearer" = ["devices"])),
    params(ProfilePath, IdempotencyHeaderDoc),
    request_body = DeviceChangeRequest,
    responses(
        (status = 202, description = "Taken: follow the operation (`change_device`). It ends as `done`, or as `refused` with the \
            carrier's words, which may come minutes later.", body = Operation, headers(
                ("Location" = String, description = "The operation; for keys without the scope `lines` the line's device."),
                ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key asked for it."),
            )),
        (status = 200, description = "With `dry_run`: what it would do.", body = DeviceChangePreview),
        (status = 409, description = "`invalid-transition` (`from`, `command`): the line is not active, another operation of it \
            is open, or the profile is reserved; `unsupported-by-carrier`; `idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/profiles/{iccid}/device-change")]
async fn change_device(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
    asked: Idempotent<DeviceChangeRequest>,
) -> ApiResult<HttpResponse> {
    let Idempotent { body, key } = asked;
    let (dry_run, change) = (body.dry_run, body.into());
    if dry_run {
        let preview = devices::preview(&state.depot, &caller, iccid, change).await?;
        return Ok(HttpResponse::Ok().json(DeviceChangePreview::from(preview)));
    }
    let otherwise = format!("/v1/profiles/{iccid}/device");
    let (operation, replayed) = devices::change(&state.depot, &caller, iccid, change, key.as_ref()).await?;
    Ok(taken(&caller, operation, replayed, otherwise))
}

/// The answer to what was written down. Operations are for keys with the scope `lines`; others see what becomes of it.
fn taken(caller: &Caller, operation: OperationView, replayed: bool, otherwise: String) -> HttpResponse {
    let location = if caller.may(Scope::Lines) {
        format!("/v1/operations/{}", operation.operation.id)
    } else {
        otherwise
    };
    let answer = Answer { status: StatusCode::ACCEPTED, location: Some(location), replayed };
    answer.json(&Operation::from(operation))
}
