//! Who asks, how often, and whether for something that is theirs: `Authorization: Bearer sd_…` on everything under
//! `/v1`. The scope comes before all else of the request: who lacks it learns nothing about what it sent.
//!
//! A request without a key that works counts against its address, so that keys cannot be guessed at speed; so does the
//! first one of a key in this process, before the database is asked about it (see `known_keys`). Behind a
//! proxy all of those share the proxy's address; requests with a known key do not.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, ResponseError, web};
use simdepot_application::{Caller, api_keys};
use tracing_actix_web::RootSpan;

use super::rate_limit::Source;
use crate::problem::{Problem, ProblemCode};
use crate::sandbox::SANDBOX_KEY;
use crate::served::Served;
use crate::state::AppState;

/// Lets only known callers under `/v1`, at their rate. The caller becomes an extension of the request.
///
/// # Errors
/// Those of the layers below.
pub async fn authenticate(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if is_protected(&req) {
        match admit(&req).await {
            Ok(caller) => {
                if let Some(span) = req.extensions().get::<RootSpan>() {
                    span.record("channel", caller.channel.as_str());
                }
                match reaches_its_own(&req, &caller) {
                    // A handler that the document does not know finds no caller.
                    Ok(false) => {}
                    Ok(true) => drop(req.extensions_mut().insert(caller)),
                    Err(problem) => return Ok(req.into_response(problem.error_response())),
                }
            }
            Err(problem) => return Ok(req.into_response(problem.error_response())),
        }
    }
    next.call(req).await.map(ServiceResponse::map_into_boxed_body)
}

/// Judged by the path that routing goes by, in which `%76` is a `v`.
fn is_protected(req: &ServiceRequest) -> bool {
    let path = req.match_info().as_str();
    path == "/v1" || path.starts_with("/v1/")
}

/// Whether the request reaches an operation; one that the caller's scopes do not open is refused.
fn reaches_its_own(req: &ServiceRequest, caller: &Caller) -> Result<bool, Problem> {
    let served = req
        .app_data::<web::Data<Served>>()
        .ok_or_else(|| Problem::new(ProblemCode::Internal, "the server does not know what it serves"))?;
    Ok(served.admits(req.method().as_str(), req.match_info().as_str(), caller)?)
}

async fn admit(req: &ServiceRequest) -> Result<Caller, Problem> {
    let state = req
        .app_data::<web::Data<AppState>>()
        .ok_or_else(|| Problem::new(ProblemCode::Internal, "the server has no state"))?;
    let address = req.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let token = bearer(req.headers()).filter(|token| may_try(state, address, token));
    let hash = token.map(api_keys::hash);
    let known = hash.as_ref().is_some_and(|hash| state.known_keys.has(hash));
    if !known {
        state.limits.admit(Source::address(address))?;
    }
    let (Some(token), Some(hash)) = (token, hash) else {
        return Err(unauthenticated());
    };
    let Some(caller) = api_keys::authenticate(&state.depot, token).await? else {
        // A key that worked and does so no more has not paid yet.
        if known {
            state.known_keys.works_no_more(&hash);
            state.limits.admit(Source::address(address))?;
        }
        return Err(unauthenticated());
    };
    if !known {
        state.known_keys.works(hash);
    }
    if let Some(key) = caller.key {
        state.limits.admit(Source::Key(key))?;
        state.key_use.note(key, state.depot.now());
    }
    Ok(caller)
}

/// What cannot be a key is not looked up. The sandbox's key is written in the source: it opens a sandbox, from the same
/// machine, and nothing else, even if the database was a sandbox once.
fn may_try(state: &AppState, address: IpAddr, token: &str) -> bool {
    api_keys::may_be_key(token) && (token != SANDBOX_KEY || (state.settings.sandbox && address.is_loopback()))
}

/// The token of the one `Authorization` header. The scheme's name is compared without case (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION);
    let (only, second) = (all.next()?, all.next());
    if second.is_some() {
        return None;
    }
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

pub(crate) fn unauthenticated() -> Problem {
    Problem::new(ProblemCode::Unauthenticated, "send an API key that works as Authorization: Bearer sd_…")
        .header(header::WWW_AUTHENTICATE, "Bearer")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::AUTHORIZATION;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn reads_the_one_bearer_token() {
        let token = |value: &str| {
            let request = TestRequest::get().insert_header((AUTHORIZATION, value)).to_http_request();
            bearer(request.headers()).map(str::to_owned)
        };
        assert_eq!(token("Bearer sd_1").as_deref(), Some("sd_1"));
        assert_eq!(token("bearer   sd_1 ").as_deref(), Some("sd_1"));
        for bad in ["", "Bearer", "Bearer ", "Basic sd_1", "sd_1", "Bearersd_1"] {
            assert_eq!(token(bad), None, "{bad}");
        }
        let two = TestRequest::get()
            .append_header((AUTHORIZATION, "Bearer a"))
            .append_header((AUTHORIZATION, "Bearer b"))
            .to_http_request();
        assert_eq!(bearer(two.headers()), None);
    }

    #[test]
    fn an_escaped_path_is_protected_all_the_same() {
        for path in ["/v1", "/v1/", "/v1/pools", "/%761/pools", "/v%31/pools"] {
            assert!(is_protected(&TestRequest::get().uri(path).to_srv_request()), "{path}");
        }
        for path in ["/", "/livez", "/v10/x", "/docs/v1/x"] {
            assert!(!is_protected(&TestRequest::get().uri(path).to_srv_request()), "{path}");
        }
    }
}
