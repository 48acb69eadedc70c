//! What is served, and to whom: paths, methods and scopes. They come from the OpenAPI document, which is made of the same
//! registrations as the routes, so that what is documented is what is demanded.
//!
//! A scope belongs to the operation: it is asked for before anything of the request is read, by
//! [`crate::middleware::authenticate`]. What a caller with the scope may see is decided further in.
//!
//! actix's method macros register a guarded resource per handler, so that a wrong method falls through to the default
//! service like an unknown path: [`answer`] tells them apart.

use std::io;

use actix_web::dev::ResourceDef;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value as Json;
use simdepot_application::{AppError, Caller};
use simdepot_domain::channel::Scope;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, PathItem};

use crate::problem::{ApiResult, Problem, ProblemCode};

/// The operations of the API.
pub(crate) struct Served(Vec<(ResourceDef, Vec<Verb>)>);

struct Verb {
    method: &'static str,
    /// One of these suffices; a refusal names the first. None where no key is asked for.
    scopes: Vec<Scope>,
}

impl Served {
    /// Reads the document.
    ///
    /// # Errors
    /// An operation under `/v1` names no scope, or one that does not exist.
    pub(crate) fn of_document(document: &OpenApi) -> io::Result<Self> {
        let paths = document.paths.paths.iter();
        let served = paths.map(|(path, item)| Ok((ResourceDef::new(path.as_str()), verbs(path, item)?)));
        served.collect::<Result<_, String>>().map(Self).map_err(io::Error::other)
    }

    /// Whether a request reaches an operation that is for the caller.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] when it reaches one that is not.
    pub(crate) fn admits(&self, method: &str, path: &str, caller: &Caller) -> Result<bool, AppError> {
        let mut verbs =
            self.0.iter().filter(|(pattern, _)| pattern.is_match(path)).flat_map(|(_, verbs)| verbs);
        let Some(verb) = verbs.find(|verb| verb.method == method) else {
            return Ok(false);
        };
        match verb.scopes.first() {
            Some(scope) if !verb.scopes.iter().any(|scope| caller.may(*scope)) => {
                Err(AppError::Forbidden { scope: *scope })
            }
            _ => Ok(true),
        }
    }

    /// The methods of a path, `None` when it is not served at all.
    fn allowed(&self, path: &str) -> Option<String> {
        let matching = self.0.iter().filter(|(pattern, _)| pattern.is_match(path));
        let mut methods: Vec<&str> = matching.flat_map(|(_, verbs)| verbs).map(|verb| verb.method).collect();
        // What answers GET answers HEAD.
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        methods.dedup();
        (!methods.is_empty()).then(|| methods.join(", "))
    }
}

fn verbs(path: &str, item: &PathItem) -> Result<Vec<Verb>, String> {
    let operations = [
        ("DELETE", &item.delete),
        ("GET", &item.get),
        ("PATCH", &item.patch),
        ("POST", &item.post),
        ("PUT", &item.put),
    ];
    let served = operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)));
    served
        .map(|(method, operation)| {
            let wrong = || {
                format!("{method} {path} is served to nobody in particular: its scope is missing or unknown")
            };
            let scopes = scopes(operation).ok_or_else(wrong)?;
            if path.starts_with("/v1/") == scopes.is_empty() {
                Err(wrong())
            } else {
                Ok(Verb { method, scopes })
            }
        })
        .collect()
}

/// The scopes of `security(("bearer" = ["a"]), ("bearer" = ["b"]))`: `a` or `b`. None of `security(())`.
fn scopes(operation: &Operation) -> Option<Vec<Scope>> {
    // The fields of a requirement are private to utoipa; what it writes is not.
    let requirements = operation.security.as_ref()?.iter();
    let scopes = requirements.filter_map(|requirement| match serde_json::to_value(requirement) {
        Ok(Json::Object(fields)) if fields.is_empty() => None,
        Ok(requirement) => {
            let only = requirement.pointer("/bearer/0").and_then(Json::as_str);
            let second = requirement.pointer("/bearer/1");
            Some(only.filter(|_| second.is_none()).and_then(|scope| scope.parse().ok()))
        }
        Err(_) => Some(None),
    });
    scopes.collect()
}

/// The answer to a request that no route takes: 404, or 405 with `Allow` when the path is served by another method.
pub(crate) async fn answer(req: HttpRequest, served: web::Data<Served>) -> ApiResult<HttpResponse> {
    Err(match served.allowed(req.match_info().as_str()) {
        Some(allowed) => {
            let detail = format!("this path is served by {allowed}");
            Problem::new(ProblemCode::MethodNotAllowed, detail).header(header::ALLOW, &allowed)
        }
        None => Problem::no_such_path(),
    })
}

#[cfg(test)]
mod tests {
    use simdepot_domain::channel::ChannelName;
    use utoipa::openapi::SecurityRequirement;

    use super::*;

    fn served() -> Served {
        Served::of_document(&crate::openapi::document()).unwrap()
    }

    #[test]
    fn knows_the_served_paths() {
        let table = served();
        assert_eq!(table.allowed("/v1/orders").as_deref(), Some("GET, HEAD, POST"));
        assert_eq!(table.allowed("/readyz").as_deref(), Some("GET, HEAD"));
        assert_eq!(table.allowed("/v1/profiles/8988247000000000013/qr.svg").as_deref(), Some("GET, HEAD"));
        assert_eq!(table.allowed("/v1/nothing"), None);
        assert_eq!(table.allowed("/v1/orders/x/y/z"), None);
    }

    #[test]
    fn an_operation_is_for_callers_with_its_scope() {
        let table = served();
        let with =
            |scope| Caller { key: None, channel: ChannelName::parse("shop").unwrap(), scopes: vec![scope] };
        let asked = |method, path, scope| match table.admits(method, path, &with(scope)) {
            Err(AppError::Forbidden { scope }) => Err(scope),
            other => Ok(other.unwrap()),
        };
        assert_eq!(asked("GET", "/v1/operations", Scope::Lines), Ok(true));
        assert_eq!(asked("GET", "/v1/operations", Scope::Stock), Err(Scope::Lines));
        assert_eq!(asked("GET", "/v1/profiles/8988247000000000013", Scope::Stock), Ok(true));
        assert_eq!(asked("GET", "/v1/profiles/8988247000000000013", Scope::Lines), Err(Scope::Storefront));
        assert_eq!(asked("PATCH", "/v1/profiles/x", Scope::Storefront), Err(Scope::Stock));
        assert_eq!(asked("PUT", "/v1/operations", Scope::Stock), Ok(false), "405");
        assert_eq!(asked("GET", "/v1/nothing", Scope::Stock), Ok(false), "404");
    }

    #[test]
    fn an_operation_without_a_scope_is_not_served() {
        for requirement in [
            vec![],
            vec![SecurityRequirement::default()],
            vec![SecurityRequirement::new("bearer", ["nonsense"])],
            vec![SecurityRequirement::new("bearer", Vec::<String>::new())],
            vec![SecurityRequirement::new("bearer", ["stock", "lines"])],
        ] {
            let mut document = crate::openapi::document();
            let item = document.paths.paths.get_mut("/v1/orders").unwrap();
            item.get.as_mut().unwrap().security = Some(requirement);
            let refused = Served::of_document(&document).map(drop).unwrap_err();
            assert!(refused.to_string().contains("GET /v1/orders"), "{refused}");
        }
    }
}
