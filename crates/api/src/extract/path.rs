//! The dynamic part of a path.

use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::problem::{Problem, ProblemCode};

/// The first dynamic segment of the path. A text that cannot be one is 404: there is no such thing. The answer tells what
/// one looks like, and does not repeat the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathParam<T>(pub T);

impl<T: FromStr<Err: Display>> FromRequest for PathParam<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parsed(req.match_info().iter().next()).map(Self))
    }
}

fn parsed<T: FromStr<Err: Display>>(found: Option<(&str, &str)>) -> Result<T, Problem> {
    let (name, text) = found.ok_or_else(Problem::no_such_path)?;
    text.parse().map_err(|error| {
        let detail = format!("the {name} in the path is not valid: {error}");
        Problem::new(ProblemCode::NotFound, detail)
    })
}

/// The first two dynamic segments of the path: a thing, and something of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPair<A, B>(pub A, pub B);

impl<A: FromStr<Err: Display>, B: FromStr<Err: Display>> FromRequest for PathPair<A, B> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut found = req.match_info().iter();
        let (first, second) = (found.next(), found.next());
        ready(parsed(first).and_then(|first| Ok(Self(first, parsed(second)?))))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use simdepot_domain::iccid::Iccid;
    use simdepot_domain::id::OrderId;

    use super::*;

    #[actix_web::test]
    async fn what_cannot_be_one_is_not_found() {
        let extract = |text: &'static str| async move {
            let request = TestRequest::get().param("iccid", text).to_http_request();
            PathParam::<Iccid>::extract(&request).await.map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(extract("8988247000000000013").await.unwrap().0.as_str(), "8988247000000000013");
        assert_eq!(extract("12AB").await, Err(404));
        assert_eq!(extract("").await, Err(404));
    }

    #[actix_web::test]
    async fn what_the_path_lacks_is_said() {
        let request = TestRequest::get().param("id", "ORD_1").to_http_request();
        let problem = PathParam::<OrderId>::extract(&request).await.unwrap_err();
        let detail = serde_json::to_value(problem.details()).unwrap()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.starts_with("the id in the path is not valid: expected an id such as ord_"),
            "{detail}"
        );
        assert!(!detail.contains("ORD_1"), "{detail}");
    }
}
