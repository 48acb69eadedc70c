//! The caller that [`crate::middleware::authenticate`] has found.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use simdepot_application::Caller;

use crate::middleware::authenticate::unauthenticated;
use crate::problem::Problem;

/// The caller. A handler without the middleware above it answers 401: nothing is open by accident.
#[derive(Debug, Clone)]
pub struct Authenticated(pub Caller);

impl FromRequest for Authenticated {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = req.extensions().get::<Caller>().cloned();
        ready(caller.map(Self).ok_or_else(unauthenticated))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[actix_web::test]
    async fn nobody_is_let_in_by_default() {
        let request = TestRequest::get().to_http_request();
        let problem = Authenticated::extract(&request).await.unwrap_err();
        assert_eq!(problem.status().as_u16(), 401);
    }
}
