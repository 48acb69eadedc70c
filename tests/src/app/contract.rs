//! The OpenAPI document as a contract: each answer of each suite must be one that it describes.

use std::sync::LazyLock;

use serde_json::Value as Json;

use super::ask::Answer;
use super::schema;

/// What is served beside the API: the browser of the document, and the way to it.
const BESIDE: [&str; 3] = ["/", "/docs", "/docs/"];

static CURRENT: LazyLock<Contract> = LazyLock::new(|| {
    let document = serde_json::to_value(simdepot_api::openapi::document()).expect("the document is JSON");
    Contract { document }
});

/// The document of the API as it is built.
#[derive(Debug)]
pub struct Contract {
    document: Json,
}

impl Contract {
    /// The document.
    pub fn current() -> &'static Self {
        &CURRENT
    }

    /// As JSON.
    pub fn document(&self) -> &Json {
        &self.document
    }

    /// Checks an answer: status, media type and body must be documented for the operation. A request that is no
    /// operation must be refused.
    ///
    /// # Panics
    /// When they are not.
    pub fn check(&self, method: &str, path: &str, answer: &Answer) {
        let Some(item) = self.path(path) else {
            let beside = BESIDE.contains(&path) || path.starts_with("/docs/");
            let refused = matches!(answer.status, 401 | 404 | 429);
            assert!(beside || refused, "{answer:?}: the path is not documented");
            return;
        };
        // `HEAD` is `GET` without the body: documented with it, and empty.
        let (method, is_head) = if method == "HEAD" { ("GET", true) } else { (method, false) };
        let Some(operation) = item.get(method.to_ascii_lowercase()) else {
            let refused = matches!(answer.status, 401 | 405 | 429);
            assert!(refused, "{answer:?}: the method is not documented");
            return;
        };
        let response = operation.pointer(&format!("/responses/{}", answer.status));
        let Some(response) = response.map(|response| schema::resolve(&self.document, response)) else {
            panic!("{answer:?}: the status is not documented");
        };
        if is_head {
            assert!(answer.body.is_empty(), "{answer:?}: HEAD has a body");
        } else {
            self.check_content(response, answer);
        }
    }

    fn check_content(&self, response: &Json, answer: &Answer) {
        let Some(content) = response.get("content").and_then(Json::as_object) else {
            assert!(answer.body.is_empty(), "{answer:?}: a body is not documented");
            return;
        };
        let media_type = answer.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default();
        let Some(described) = content.get(media_type) else {
            panic!("{answer:?}: the media type {media_type} is not documented");
        };
        if media_type.ends_with("json")
            && let Some(wanted) = described.get("schema")
        {
            let wrong = schema::violations(&self.document, wanted, &answer.json());
            assert!(wrong.is_empty(), "{answer:?}: the body is not as documented: {wrong:#?}");
        }
    }

    /// The item of a path; one without parameters goes before one with.
    fn path(&self, path: &str) -> Option<&Json> {
        let paths = self.document.get("paths")?.as_object()?;
        paths
            .get(path)
            .or_else(|| paths.iter().find(|(pattern, _)| matches(pattern, path)).map(|(_, item)| item))
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.split('/'), path.split('/'));
    pattern.clone().count() == path.clone().count()
        && pattern
            .zip(path)
            .all(|(wanted, given)| wanted == given || (wanted.starts_with('{') && !given.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, content_type: &'static str, body: &str) -> Answer {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("content-type", content_type.parse().unwrap());
        Answer { status, headers, body: body.into(), what: "GET /livez".to_owned() }
    }

    fn refused(path: &str, answer: &Answer) -> bool {
        std::panic::catch_unwind(|| Contract::current().check("GET", path, answer)).is_err()
    }

    #[test]
    fn what_the_document_does_not_describe_is_found() {
        let good = json!({"status": "ok"}).to_string();
        assert!(!refused("/livez", &answer(200, "application/json", &good)));
        assert!(refused("/livez", &answer(202, "application/json", &good)), "the status");
        assert!(refused("/livez", &answer(200, "text/html", &good)), "the media type");
        assert!(refused("/livez", &answer(200, "application/json", "{}")), "the body");
        assert!(refused("/v1/none", &answer(200, "application/json", &good)), "the path");
        assert!(!refused("/v1/none", &answer(404, "application/json", &good)));
    }

    #[test]
    fn parameters_take_one_segment() {
        assert!(matches("/v1/pools/{pool}/stock", "/v1/pools/world/stock"));
        assert!(!matches("/v1/pools/{pool}", "/v1/pools/world/stock"));
        assert!(!matches("/v1/pools/{pool}", "/v1/pools/"));
    }
}
