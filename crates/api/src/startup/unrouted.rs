//! Requests that no route takes: 404, or 405 with `Allow` when the path is served by another method.
//!
//! actix's method macros register a guarded resource per handler, so that a wrong method falls through to the default
//! service like an unknown path. The paths come from the OpenAPI document, which is made of the same registrations.

use actix_web::dev::ResourceDef;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::openapi::{OpenApi, PathItem};

use crate::problem::{ApiResult, Problem, ProblemCode};

/// The served paths and their methods.
pub(super) struct Unrouted(Vec<(ResourceDef, Vec<&'static str>)>);

impl Unrouted {
    pub(super) fn of_document(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter();
        Self(paths.map(|(path, item)| (ResourceDef::new(path.as_str()), methods(item))).collect())
    }

    /// The methods of a path, `None` when it is not served at all.
    fn allowed(&self, path: &str) -> Option<String> {
        let matching = self.0.iter().filter(|(pattern, _)| pattern.is_match(path));
        let mut methods: Vec<&str> = matching.flat_map(|(_, methods)| methods.iter().copied()).collect();
        methods.sort_unstable();
        methods.dedup();
        (!methods.is_empty()).then(|| methods.join(", "))
    }
}

fn methods(item: &PathItem) -> Vec<&'static str> {
    let operations = [
        ("DELETE", &item.delete),
        ("GET", &item.get),
        ("PATCH", &item.patch),
        ("POST", &item.post),
        ("PUT", &item.put),
    ];
    let served =
        operations.into_iter().filter_map(|(method, operation)| operation.is_some().then_some(method));
    // What answers GET answers HEAD.
    served.chain(item.get.is_some().then_some("HEAD")).collect()
}

pub(super) async fn answer(req: HttpRequest, table: web::Data<Unrouted>) -> ApiResult<HttpResponse> {
    Err(match table.allowed(req.match_info().as_str()) {
        Some(allowed) => {
            let detail = format!("this path is served by {allowed}");
            Problem::new(ProblemCode::MethodNotAllowed, detail).header(header::ALLOW, &allowed)
        }
        None => Problem::not_found("this path"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_served_paths() {
        let table = Unrouted::of_document(&crate::openapi::document());
        assert_eq!(table.allowed("/v1/orders").as_deref(), Some("GET, HEAD, POST"));
        assert_eq!(table.allowed("/readyz").as_deref(), Some("GET, HEAD"));
        assert_eq!(table.allowed("/v1/profiles/8988247000000000013/qr.svg").as_deref(), Some("GET, HEAD"));
        assert_eq!(table.allowed("/v1/nothing"), None);
        assert_eq!(table.allowed("/v1/orders/x/y/z"), None);
    }
}
