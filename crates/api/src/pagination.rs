//! Pages of lists. A cursor is the key of the last row of a page, so rows that arrive meanwhile neither repeat nor hide
//! others. Its content is ours alone; clients send it back as it is.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;

/// Rows of a page when the client does not say.
const DEFAULT_LIMIT: u32 = 50;
/// Most rows of a page.
const MAX_LIMIT: u32 = 200;
/// Longest cursor that is looked at, in characters.
const MAX_CURSOR: usize = 1024;

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T: ToSchema> {
    /// The rows.
    pub data: Vec<T>,
    /// Send it as `cursor` to get the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// `limit`: rows of a page, 1 to 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = u32, minimum = 1, maximum = 200, default = 50)]
pub struct Limit(u32);

impl Limit {
    /// As a number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// One row more than a page has: whether it comes tells whether there is a next page.
    pub fn with_one_more(self) -> i64 {
        i64::from(self.0) + 1
    }

    /// Cuts rows that were read by [`Limit::with_one_more`] to a page; the cursor is made of the last row that stays.
    pub fn cut<T, C: Serialize>(
        self,
        mut rows: Vec<T>,
        cursor: impl FnOnce(&T) -> C,
    ) -> (Vec<T>, Option<String>) {
        let limit = usize::try_from(self.0).unwrap_or(usize::MAX);
        if rows.len() <= limit {
            return (rows, None);
        }
        rows.truncate(limit);
        let next = rows.last().map(|last| cursor_encode(&cursor(last)));
        (rows, next)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = u32::deserialize(deserializer)?;
        if (1..=MAX_LIMIT).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(D::Error::custom(format_args!("must be 1 to {MAX_LIMIT}")))
        }
    }
}

/// A cursor of a key. Keys are plain values and always serialise; one that does not begins the list anew.
pub fn cursor_encode(key: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

/// The key of a cursor.
///
/// # Errors
/// A problem that names `?cursor` when it is none of ours.
pub fn cursor_decode<T: DeserializeOwned>(cursor: &str) -> Result<T, Problem> {
    let bytes = (cursor.len() <= MAX_CURSOR).then(|| URL_SAFE_NO_PAD.decode(cursor).ok()).flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| {
        Problem::invalid_field("?cursor", "format", "must be the next_cursor of an earlier page of this list")
    })
}

/// Answers a page, with `Link: rel="next"` (RFC 8288) when there is another.
pub fn page_response<T: Serialize + ToSchema>(
    req: &HttpRequest,
    data: Vec<T>,
    next_cursor: Option<String>,
) -> HttpResponse {
    let cursor = next_cursor.clone();
    let next = cursor.as_deref().map(|next| ("cursor", next));
    page_response_at(req, next.as_slice(), data, next_cursor)
}

/// As [`page_response`], for a list whose pages begin at query parameters of its own; none when this is the last page.
pub fn page_response_at<T: Serialize + ToSchema>(
    req: &HttpRequest,
    next: &[(&str, &str)],
    data: Vec<T>,
    next_cursor: Option<String>,
) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    if !next.is_empty() {
        let target = next_target(req, next);
        answer.insert_header((header::LINK, format!("<{target}>; rel=\"next\"")));
    }
    answer.json(Page { data, next_cursor })
}

/// The same request with another cursor. Cursors are URL-safe as they are.
fn next_target(req: &HttpRequest, next: &[(&str, &str)]) -> String {
    let is_cursor = |pair: &str| next.iter().any(|(name, _)| pair.split('=').next() == Some(*name));
    let kept = req.query_string().split('&').filter(|pair| !pair.is_empty() && !is_cursor(pair));
    let next = next.iter().map(|(name, value)| format!("{name}={value}"));
    let query: Vec<String> = kept.map(str::to_owned).chain(next).collect();
    format!("{}?{}", req.path(), query.join("&"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let key = (String::from("spc/ü"), 42i64);
        let cursor = cursor_encode(&key);
        assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{cursor}");
        assert_eq!(cursor_decode::<(String, i64)>(&cursor).unwrap(), key);
    }

    #[test]
    fn a_cursor_of_somebody_else_is_refused() {
        for bad in ["", "!", "bnVsbA", &cursor_encode(&"text"), &"A".repeat(2000)] {
            let problem = serde_json::to_value(cursor_decode::<i64>(bad).unwrap_err().details()).unwrap();
            assert_eq!(
                (&problem["status"], &problem["errors"][0]["pointer"]),
                (&422.into(), &"?cursor".into()),
                "{bad}"
            );
        }
    }

    #[test]
    fn one_row_more_tells_of_a_next_page() {
        let limit = Limit(2);
        assert_eq!(limit.with_one_more(), 3);
        assert_eq!(limit.cut(vec![1, 2], |row| *row), (vec![1, 2], None));
        let (rows, next) = limit.cut(vec![1, 2, 3], |row| *row);
        assert_eq!((rows, cursor_decode::<i32>(&next.unwrap()).unwrap()), (vec![1, 2], 2));
        assert_eq!(limit.cut(Vec::<i32>::new(), |row| *row), (vec![], None));
    }

    #[actix_web::test]
    async fn the_link_keeps_the_filters() {
        for (uri, expected) in [
            ("/v1/orders", "</v1/orders?cursor=bmV4dA>; rel=\"next\""),
            (
                "/v1/orders?status=failed&cursor=old&limit=2",
                "</v1/orders?status=failed&limit=2&cursor=bmV4dA>; rel=\"next\"",
            ),
        ] {
            let req = TestRequest::get().uri(uri).to_http_request();
            let answer = page_response(&req, vec![String::from("a")], Some("bmV4dA".into()));
            assert_eq!(answer.headers().get(header::LINK).unwrap(), expected);
        }
        let last = page_response(&TestRequest::get().to_http_request(), Vec::<String>::new(), None);
        assert!(last.headers().get(header::LINK).is_none());
        let body = actix_web::body::to_bytes(last.into_body()).await.unwrap();
        assert_eq!(body, r#"{"data":[],"next_cursor":null}"#);
    }
}
