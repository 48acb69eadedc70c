//! A JSON body, deserialised and validated.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use validator::Validate;

use super::body;
use crate::problem::Problem;

/// A body that is what its type says.
///
/// Answers 415 when it is not `application/json`, 413 above 1 MiB, 400 when it is not JSON, and 422 with pointers when
/// fields are missing, unknown, of the wrong type or out of bounds.
#[derive(Debug, Clone)]
pub struct ValidJson<T>(pub T);

impl<T: DeserializeOwned + Validate + 'static> FromRequest for ValidJson<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            body::require_json(&req)?;
            let bytes = body::read(&req, payload, body::MAX_JSON_BYTES, body::JSON_WAIT).await?;
            body::parse(&bytes).map(Self)
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[validate(length(min = 1, max = 5))]
        reference: String,
        #[validate(nested, length(min = 1))]
        lines: Vec<Line>,
        #[serde(rename = "shade")]
        _shade: Option<Shade>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Shade {
        Dark,
        Light,
    }

    #[derive(Debug, Serialize, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Line {
        pool: String,
        #[validate(range(min = 1, max = 1000))]
        quantity: u32,
    }

    async fn send(content_type: &str, body: impl Into<actix_web::web::Bytes>) -> Result<Order, (u16, Value)> {
        let (req, mut payload) = TestRequest::post()
            .insert_header(("content-type", content_type))
            .set_payload(body)
            .to_http_parts();
        match ValidJson::<Order>::from_request(&req, &mut payload).await {
            Ok(order) => Ok(order.0),
            Err(problem) => {
                Err((problem.status().as_u16(), serde_json::to_value(problem.details()).unwrap()))
            }
        }
    }

    async fn refused(body: &str) -> (u16, String, Vec<(String, String)>) {
        let (status, problem) = send("application/json", body.to_owned()).await.unwrap_err();
        let fields = problem["errors"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let places = fields.map(|field| (text(&field["pointer"]), text(&field["code"]))).collect();
        (status, text(&problem["code"]), places)
    }

    #[actix_web::test]
    async fn takes_what_fits() {
        let body = json!({"reference": "r", "lines": [{"pool": "p", "quantity": 1}]}).to_string();
        let order = send("application/json; charset=utf-8", body).await.unwrap();
        assert_eq!(
            (order.reference.as_str(), order.lines[0].pool.as_str(), order.lines[0].quantity),
            ("r", "p", 1)
        );
    }

    #[actix_web::test]
    async fn names_the_field() {
        let cases = [
            (r#"{"reference":"r"}"#, "/lines", "required"),
            (r#"{"reference":"r","lines":[{"pool":"p"}]}"#, "/lines/0/quantity", "required"),
            (r#"{"reference":"r","lines":[{"pool":"p","quantity":"2"}]}"#, "/lines/0/quantity", "type"),
            (r#"{"reference":"r","lines":[{"pool":"p","quantity":-1}]}"#, "/lines/0/quantity", "format"),
            (
                r#"{"reference":"r","lines":[{"pool":"p","quantity":1,"a/b":1}]}"#,
                "/lines/0/a~1b",
                "unknown-field",
            ),
            (r#"{"reference":"r","reference":"s","lines":[]}"#, "/reference", "duplicate-field"),
            (r#"{"reference":"r","lines":[]}"#, "/lines", "length"),
            (r#"{"reference":"r","lines":[{"pool":"p","quantity":0}]}"#, "/lines/0/quantity", "range"),
            ("[]", "", "type"),
            (r#"["r",[{"pool":"p","quantity":1}]]"#, "", "type"),
            (r#"{"reference":"r","lines":[["p",1]]}"#, "/lines/0", "type"),
            ("null", "", "type"),
            (r#"{"reference":"r","lines":[{"pool":"p","quantity":1e400}]}"#, "/lines/0/quantity", "range"),
            (r#"{"reference":"r","lines":[{"pool":"p","quantity":1.5}]}"#, "/lines/0/quantity", "type"),
            (r#"{"reference":"r","lines":[],"colour":5}"#, "/colour", "unknown-field"),
        ];
        for (body, pointer, code) in cases {
            let (status, problem, fields) = refused(body).await;
            assert_eq!((status, problem.as_str()), (422, "validation-failed"), "{body}");
            assert_eq!(fields, [(pointer.to_owned(), code.to_owned())], "{body}");
        }
    }

    /// A client knows JSON, and not the language that we are written in.
    #[actix_web::test]
    async fn says_what_is_expected_in_the_words_of_json() {
        for (quantity, message) in [
            (r#""2""#, "must be an integer"),
            ("1.5", "must be an integer"),
            ("[]", "must be an integer"),
            ("null", "must be an integer"),
            ("-1", "must be an integer from 0 to 4294967295"),
            ("4294967296", "must be an integer from 0 to 4294967295"),
            ("4294967296.0", "must be an integer from 0 to 4294967295"),
            ("1e30", "must be an integer"),
            ("1e400", "is out of range"),
        ] {
            let body = format!(r#"{{"reference":"r","lines":[{{"pool":"p","quantity":{quantity}}}]}}"#);
            let (_, problem) = send("application/json", body).await.unwrap_err();
            assert_eq!(problem["errors"][0]["message"], message, "{quantity}");
        }
        for (body, message) in [
            (r#"{"reference":5,"lines":[]}"#, "must be a string"),
            (r#"{"reference":"r","lines":{}}"#, "must be an array"),
            (r#"{"reference":"r","lines":[5]}"#, "must be an object"),
            (r#"{"reference":"r","lines":[],"shade":5}"#, "is not of the expected type"),
            (r#"{"reference":"r","lines":[],"shade":"blue"}"#, "must be `dark` or `light`"),
        ] {
            let (status, problem) = send("application/json", body).await.unwrap_err();
            assert_eq!((status, &problem["errors"][0]["message"]), (422, &json!(message)), "{body}");
        }
        let whole = r#"{"reference":"r","lines":[{"pool":"p","quantity":2.0}]}"#;
        assert_eq!(send("application/json", whole).await.unwrap().lines[0].quantity, 2);
    }

    #[actix_web::test]
    async fn names_all_fields_that_are_out_of_bounds() {
        let body = r#"{"reference":"","lines":[{"pool":"p","quantity":1},{"pool":"p","quantity":1001}]}"#;
        let (_, _, fields) = refused(body).await;
        let places: Vec<_> = fields.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(places, ["/lines/1/quantity", "/reference"]);
    }

    #[actix_web::test]
    async fn what_is_not_json_is_malformed() {
        for body in ["", "{", "{\"reference\":", "nonsense", "{} {}", "{\"reference\":\"\u{1}\"}"] {
            let (status, code, _) = refused(body).await;
            // Two documents in a row: the first is judged first.
            let expected = if body == "{} {}" { (422, "validation-failed") } else { (400, "malformed-body") };
            assert_eq!((status, code.as_str()), expected, "{body}");
        }
        let good = r#"{"reference":"r","lines":[{"pool":"p","quantity":1}]}"#;
        assert_eq!(refused(&format!("{good} x")).await.0, 400);
        let broken_utf8: &'static [u8] = b"{\"reference\":\"\xff\"}";
        assert_eq!(send("application/json", broken_utf8).await.unwrap_err().0, 400);
    }

    #[actix_web::test]
    async fn the_type_and_the_size_are_checked() {
        assert_eq!(send("text/plain", "{}").await.unwrap_err().0, 415);
        assert_eq!(send("application/jsonx", "{}").await.unwrap_err().0, 415);
        let long = vec![b' '; body::MAX_JSON_BYTES + 1];
        assert_eq!(send("application/json", long).await.unwrap_err().0, 413);
        let just_fits = vec![b' '; body::MAX_JSON_BYTES];
        assert_eq!(send("application/json", just_fits).await.unwrap_err().0, 400);
    }
}
