//! Commands to lines: taken at once, carried out soon.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, put, web};
use simdepot_application::Caller;
use simdepot_application::idempotency::IdempotencyKey;
use simdepot_application::line_operations::{self, LineRequest};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineCommand;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::Answer;
use crate::dto::headers::{IdempotencyHeader as IdempotencyHeaderDoc, ProfilePath};
use crate::dto::line_command::{
    ContactRequest, LinePreview, PlainRequest, SetupRequest, SwapSimRequest, TariffHolidayRequest,
    TerminateRequest, TestModeRequest, plain,
};
use crate::dto::operation::Operation;
use crate::extract::{Authenticated, Idempotent, IdempotentEmpty, PathParam, ValidJson};
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(activate_line)
        .service(modify_line)
        .service(suspend_line)
        .service(reactivate_line)
        .service(terminate_line)
        .service(swap_sim)
        .service(swap_msisdn)
        .service(tariff_holiday)
        .service(test_mode)
        .service(set_contact);
}

/// Takes a command, or with a dry run tells what it would do.
async fn take(
    state: &AppState,
    caller: &Caller,
    iccid: Iccid,
    asked: LineRequest,
    dry_run: bool,
    key: Option<&IdempotencyKey>,
) -> ApiResult<HttpResponse> {
    if dry_run {
        let preview = line_operations::preview(&state.depot, caller, iccid, asked).await?;
        return Ok(HttpResponse::Ok().json(LinePreview::from(preview)));
    }
    let (operation, replayed) = line_operations::command(&state.depot, caller, iccid, asked, key).await?;
    let location = format!("/v1/operations/{}", operation.operation.id);
    let answer = Answer { status: StatusCode::ACCEPTED, location: Some(location), replayed };
    Ok(answer.json(&Operation::from(operation)))
}

macro_rules! commands {
    ($(
        $(#[doc = $doc:literal])*
        $path:literal $name:ident($documented:ty, $extractor:ident<$kind:ident>) => |$asked:ident| $command:expr;
    )*) => {$(
        $(#[doc = $doc])*
        #[utoipa::path(
            tag = "Lines",
            security(("bearer" = ["lines"])),
            params(ProfilePath, IdempotencyHeaderDoc),
            request_body = $documented,
            responses(
                (status = 202, description = "Taken: follow the operation. It ends as `done`, or as `refused` with the carrier's \
                    words, which may come minutes later.", body = Operation, headers(
                        ("Location" = String, description = "The operation."),
                        ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key asked for it."),
                    )),
                (status = 200, description = "With `dry_run`: what it would do.", body = LinePreview),
                (status = 409, description = "`invalid-transition` (`from`, `command`), with the rule in `detail`: the line's status \
                    does not allow it, or another operation of it is open; `unsupported-by-carrier`; `idempotency-in-flight`.",
                    body = Problem, content_type = "application/problem+json"),
            )
        )]
        #[post($path)]
        async fn $name(
            state: web::Data<AppState>,
            Authenticated(caller): Authenticated,
            PathParam(iccid): PathParam<Iccid>,
            request: $extractor<$kind>,
        ) -> ApiResult<HttpResponse> {
            let $extractor { body: $asked, key } = request;
            let dry_run = $asked.dry_run;
            take(&state, &caller, iccid, $command, dry_run, key.as_ref()).await
        }
    )*};
}

commands! {
    /// Activate a line
    ///
    /// A pre-activated or available line comes into service. A profile that is on sale leaves the stock with it (`in_service`).
    "/v1/profiles/{iccid}/line/activate" activate_line(Option<SetupRequest>, IdempotentEmpty<SetupRequest>) => |asked| asked.activate();
    /// Modify a line
    ///
    /// Only what is given changes.
    "/v1/profiles/{iccid}/line/modify" modify_line(SetupRequest, Idempotent<SetupRequest>) => |asked| asked.modify()?;
    /// Suspend a line
    ///
    /// Traffic stops, billing goes on, and the validity of its bundles runs on.
    "/v1/profiles/{iccid}/line/suspend" suspend_line(Option<PlainRequest>, IdempotentEmpty<PlainRequest>) => |asked| plain(LineCommand::Suspend);
    /// Reactivate a line
    ///
    /// A suspended line works again. The carrier's own suspension is lifted by the carrier alone.
    "/v1/profiles/{iccid}/line/reactivate" reactivate_line(Option<PlainRequest>, IdempotentEmpty<PlainRequest>) => |asked| plain(LineCommand::Reactivate);
    /// Terminate a line
    ///
    /// Ends it for ever: `confirm` must be true, else the answer is 422 `confirmation-required`.
    "/v1/profiles/{iccid}/line/terminate" terminate_line(Option<TerminateRequest>, IdempotentEmpty<TerminateRequest>) => |asked| asked.terminate()?;
    /// Move a line to another SIM
    ///
    /// The new SIM takes over the line with its number, its order and its bundles; the old one is retired. The story is told
    /// under both.
    "/v1/profiles/{iccid}/line/swap-sim" swap_sim(SwapSimRequest, Idempotent<SwapSimRequest>) => |asked| plain(LineCommand::SwapSim { new_iccid: asked.new_iccid });
    /// Give a line another number
    ///
    /// The carrier chooses the first free one.
    "/v1/profiles/{iccid}/line/swap-msisdn" swap_msisdn(Option<PlainRequest>, IdempotentEmpty<PlainRequest>) => |asked| plain(LineCommand::SwapMsisdn);
    /// Pause a line
    ///
    /// A tariff holiday has neither traffic nor billing. It begins with the next bill cycle.
    "/v1/profiles/{iccid}/line/tariff-holiday" tariff_holiday(Option<TariffHolidayRequest>, IdempotentEmpty<TariffHolidayRequest>) => |asked| asked.command();
    /// Begin or end a test period
    ///
    /// Free of billing up to a quota, once in a line's life and before it is active.
    "/v1/profiles/{iccid}/line/test-mode" test_mode(Option<TestModeRequest>, IdempotentEmpty<TestModeRequest>) => |asked| asked.command();
}

/// Change a subscriber's contact data
///
/// They go to the carrier and are not kept here. The group may change with them.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"])),
    params(ProfilePath),
    request_body = ContactRequest,
    responses(
        (status = 202, description = "Taken: follow the operation.", body = Operation,
            headers(("Location" = String, description = "The operation."))),
        (status = 200, description = "With `dry_run`: what it would do.", body = LinePreview),
        (status = 409, description = "`invalid-transition` (`from`, `command`): an available line has no subscriber, or another \
            operation of it is open; `unsupported-by-carrier`.", body = Problem, content_type = "application/problem+json"),
    )
)]
#[put("/v1/profiles/{iccid}/line/contact")]
async fn set_contact(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(iccid): PathParam<Iccid>,
    ValidJson(asked): ValidJson<ContactRequest>,
) -> ApiResult<HttpResponse> {
    let dry_run = asked.dry_run;
    take(&state, &caller, iccid, asked.command()?, dry_run, None).await
}
