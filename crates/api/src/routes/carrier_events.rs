//! What carriers tell us. Their signature over the raw body is the key; the body is neither logged nor kept unsealed.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, post, web};
use simdepot_application::inbound::{self, Admission};
use simdepot_domain::carrier::EventRefused;
use simdepot_domain::channel::AccountName;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::dto::headers::AccountPath;
use crate::extract::{PathParam, body};
use crate::middleware::rate_limit::Source;
use crate::problem::{ApiResult, Problem, ProblemCode};
use crate::state::AppState;

/// Most bytes of an event: 256 KiB.
const MAX_EVENT_BYTES: usize = 256 << 10;
/// How long its body may take. Carriers post at once; whoever else posts is not waited for.
const BODY: Duration = Duration::from_secs(10);

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(receive_carrier_event);
}

/// Receive a carrier's event
///
/// For carriers alone. The event is checked by its signature over the raw body, kept, and applied afterwards. The same
/// event may come several times.
#[utoipa::path(
    tag = "Carrier events",
    security(()),
    params(AccountPath),
    request_body(content = Object, content_type = "application/json", description = "As the carrier writes it."),
    responses(
        (status = 204, description = "It is kept, or was before."),
        (status = 400, description = "`malformed-body`: the body cannot be read, or took longer than 10 s.", body = Problem,
            content_type = "application/problem+json"),
        (status = 401, description = "`unauthenticated`: the signature is missing or wrong. Nothing is kept.",
            body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not-found`: there is no such account.", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "`payload-too-large`: more than 256 KiB.", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "`rate-limited`: too many that were not the carrier's from this address.",
            body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "`internal`.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`busy`: send it again.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/carrier-events/{account}")]
async fn receive_carrier_event(
    state: web::Data<AppState>,
    PathParam(account): PathParam<AccountName>,
    request: HttpRequest,
    payload: web::Payload,
) -> ApiResult<HttpResponse> {
    let header = |name: &str| {
        let mut all = request.headers().get_all(name);
        // Of two values nobody could say which one was checked.
        let (only, second) = (all.next()?, all.next());
        only.to_str().ok().filter(|_| second.is_none()).map(str::to_owned)
    };
    // The account and the signature's presence come before the body: who has neither is not listened to.
    match inbound::refuse_early(&state.depot, &account, &header) {
        Ok(None) => {}
        Ok(Some(reason)) => return Err(turned_away(&state, &request, &account, &reason)),
        Err(error) => {
            admit_failure(&state, &request)?;
            return Err(error.into());
        }
    }
    let body = body::read(&request, payload.into_inner(), MAX_EVENT_BYTES, BODY).await?;
    match inbound::admit(&state.depot, &account, &header, &body)? {
        Admission::Refused(reason) => Err(turned_away(&state, &request, &account, &reason)),
        Admission::Authentic(event) => {
            inbound::keep(&state.depot, event).await?;
            Ok(HttpResponse::NoContent().finish())
        }
    }
}

/// What is not the carrier's counts against its address, so that nobody fills the log or finds out secrets at speed.
/// Carriers themselves have no rate.
fn admit_failure(state: &AppState, request: &HttpRequest) -> ApiResult<()> {
    let address = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    state.limits.admit(Source::address(address))
}

fn turned_away(
    state: &AppState,
    request: &HttpRequest,
    account: &AccountName,
    reason: &EventRefused,
) -> Problem {
    if let Err(too_often) = admit_failure(state, request) {
        return too_often;
    }
    tracing::warn!(%account, %reason, "a carrier event was turned away");
    Problem::new(ProblemCode::Unauthenticated, "the signature is missing or wrong")
}
