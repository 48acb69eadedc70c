//! The outermost layer: names the request, and sees to it that every answer has its headers and every error is a
//! problem document, also those that the framework makes by itself.

use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, ResponseError, web};
use simdepot_domain::id::{IdGenerator, RandomIds};

use crate::extract::prefer::PreferenceApplied;
use crate::problem::{PROBLEM_JSON, Problem};
use crate::state::AppState;

/// Names a request in answers and logs.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client.
const MAX_LENGTH: usize = 64;

tokio::task_local! {
    static CURRENT: Rc<str>;
}

/// The id of the request being answered by this task, if it answers one.
pub fn current() -> Option<String> {
    CURRENT.try_with(ToString::to_string).ok()
}

/// The id of a request, as its extension.
#[derive(Debug, Clone)]
pub struct RequestId(pub(crate) Rc<str>);

/// Names the request and completes its answer.
///
/// # Errors
/// Those of the layers below, turned into problem documents.
pub async fn identify(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id: Rc<str> = incoming(req.headers()).map_or_else(|| generated(&req), Rc::from);
    req.extensions_mut().insert(RequestId(Rc::clone(&id)));
    let complete = async {
        match next.call(req).await {
            Ok(answer) => Ok(completed(answer.map_into_boxed_body(), &id)),
            Err(error) => {
                let mut answer = Problem::of_error(&error).error_response();
                add_headers(answer.headers_mut(), &id);
                Err(InternalError::from_response(error, answer).into())
            }
        }
    };
    CURRENT.scope(Rc::clone(&id), complete).await
}

impl Problem {
    /// The problem behind an error of the framework, or the problem that it wraps.
    pub(crate) fn of_error(error: &Error) -> Self {
        match error.as_error::<Self>() {
            Some(problem) => problem.clone(),
            None => Self::of_status(error.as_response_error().status_code()),
        }
    }
}

/// A client's own id is taken over when it can neither break a log line nor flood the log.
fn incoming(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let fits = !id.is_empty() && id.len() <= MAX_LENGTH && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(id)
}

fn generated(req: &ServiceRequest) -> Rc<str> {
    let uuid = match req.app_data::<web::Data<AppState>>() {
        Some(state) => state.depot.ids.uuid(),
        None => RandomIds.uuid(),
    };
    Rc::from(uuid.simple().to_string())
}

fn completed(answer: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let status = answer.status();
    let is_problem = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(PROBLEM_JSON.as_bytes()));
    let mut answer = if (status.is_client_error() || status.is_server_error()) && !is_problem {
        answer.into_response(Problem::of_status(status).error_response())
    } else {
        answer
    };
    let applied = answer.request().extensions().get::<PreferenceApplied>().map(|applied| applied.0.clone());
    if let Some(applied) = applied
        && let Ok(value) = HeaderValue::from_str(&applied)
    {
        answer.headers_mut().insert(HeaderName::from_static("preference-applied"), value);
    }
    add_headers(answer.headers_mut(), id);
    answer
}

fn add_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Answers carry activation codes; what may be cached says so by itself.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json, try_call_service};
    use actix_web::{App, HttpResponse};
    use serde_json::Value;

    use super::*;
    use crate::problem::ProblemCode;

    async fn fails() -> Result<HttpResponse, Problem> {
        Err(Problem::new(ProblemCode::OutOfStock, "none left"))
    }

    async fn framework_error() -> Result<HttpResponse, Error> {
        Err(actix_web::error::ErrorBadRequest("a secret <text>"))
    }

    fn app() -> App<
        impl actix_web::dev::ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<BoxBody>,
            Error = Error,
            InitError = (),
        >,
    > {
        App::new()
            .route("/ok", web::get().to(HttpResponse::Ok))
            .route("/problem", web::get().to(fails))
            .route("/framework", web::get().to(framework_error))
            .wrap(from_fn(identify))
    }

    #[actix_web::test]
    async fn every_answer_is_named() {
        let app = init_service(app()).await;
        let sent = TestRequest::get().uri("/ok").insert_header((X_REQUEST_ID, "mine-1")).to_request();
        let answer = call_service(&app, sent).await;
        assert_eq!(answer.headers().get(X_REQUEST_ID).unwrap(), "mine-1");
        assert_eq!(answer.headers().get(header::CACHE_CONTROL).unwrap(), "no-store");
        for bad in ["", "two words", &"x".repeat(65)] {
            let sent = TestRequest::get().uri("/ok").insert_header((X_REQUEST_ID, bad)).to_request();
            let answer = call_service(&app, sent).await;
            assert_eq!(answer.headers().get(X_REQUEST_ID).unwrap().len(), 32, "{bad}");
        }
    }

    #[actix_web::test]
    async fn every_error_is_a_problem_with_the_id() {
        let app = init_service(app()).await;
        for (path, status, code) in [
            ("/problem", 409, "out-of-stock"),
            ("/framework", 400, "bad-request"),
            ("/none", 404, "not-found"),
        ] {
            let sent = TestRequest::get().uri(path).insert_header((X_REQUEST_ID, "mine-2")).to_request();
            let answer = call_service(&app, sent).await;
            assert_eq!(answer.status().as_u16(), status, "{path}");
            assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), PROBLEM_JSON, "{path}");
            let body: Value = read_body_json(answer).await;
            assert_eq!((&body["code"], &body["request_id"]), (&code.into(), &"mine-2".into()), "{path}");
            assert!(!body.to_string().contains("secret"));
        }
    }

    #[actix_web::test]
    async fn an_error_of_a_layer_is_a_problem_too() {
        async fn refuse(_: ServiceRequest, _: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
            Err(Problem::new(ProblemCode::RateLimited, "slow down").into())
        }
        let app = init_service(App::new().wrap(from_fn(refuse)).wrap(from_fn(identify))).await;
        let sent = TestRequest::get().insert_header((X_REQUEST_ID, "mine-3")).to_request();
        let error = try_call_service(&app, sent).await.unwrap_err();
        let answer = error.as_response_error().error_response();
        assert_eq!(answer.status().as_u16(), 429);
        assert_eq!(answer.headers().get(X_REQUEST_ID).unwrap(), "mine-3");
    }
}
