//! The dynamic part of a path.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::problem::Problem;

/// The first dynamic segment of the path. A text that cannot be one is 404: there is no such thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathParam<T>(pub T);

impl<T: FromStr> FromRequest for PathParam<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let segment = req.match_info().iter().next().map(|(_, text)| text);
        let parsed = segment.and_then(|text| text.parse().ok());
        ready(parsed.map(Self).ok_or_else(|| Problem::not_found("this")))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use simdepot_domain::iccid::Iccid;

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
}
