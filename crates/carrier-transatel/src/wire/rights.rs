//! What the account may do: `OPTIONS` on a documented URL answers with the methods in `Allow`.

use super::{Answer, Call, Method, Request};

/// Asks for the rights on the path of `request`.
pub(crate) fn request(path: &str) -> Request {
    Request::new(Call::Rights, Method::Options, path)
}

/// Whether `method` is allowed; `None` when the answer is not the documented 204 with `Allow`.
pub(crate) fn parse(answer: &Answer, method: Method) -> Option<bool> {
    let allow = answer.allow.as_deref().filter(|_| matches!(answer.status, 200 | 204))?;
    Some(allow.split(',').any(|entry| entry.trim().eq_ignore_ascii_case(method.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_allow_header() {
        let answer = |status, allow: Option<&str>| Answer {
            allow: allow.map(str::to_owned),
            ..Answer::of(status, "")
        };
        assert_eq!(parse(&answer(204, Some("GET, OPTIONS")), Method::Get), Some(true));
        assert_eq!(parse(&answer(204, Some("get,options")), Method::Post), Some(false));
        assert_eq!(parse(&answer(204, Some("OPTIONS")), Method::Get), Some(false));
        assert_eq!(parse(&answer(204, None), Method::Get), None);
        assert_eq!(parse(&answer(404, Some("GET")), Method::Get), None);
    }
}
