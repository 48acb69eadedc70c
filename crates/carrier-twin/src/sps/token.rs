//! Access tokens (S13): OAuth 2.0 client credentials, as a form with the credentials in it or in `Authorization`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::state::SpsTwin;
use crate::form;
use crate::reply::{Answer, Problem};
use crate::request::TwinRequest;
use crate::token::{oauth, oauth_error};

impl SpsTwin {
    /// Hands out a token for the account's credentials.
    pub(super) fn grant_token(&mut self, now: DateTime<Utc>, request: &TwinRequest) -> Answer {
        let body = String::from_utf8_lossy(&request.body);
        let fields = form::pairs(&body);
        let field = |name: &str| {
            let found = fields.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let given =
            basic(request).unwrap_or_else(|| format!("{}:{}", field("client_id"), field("client_secret")));
        if given != format!("{}:{}", self.config.client_id, self.config.client_secret.expose()) {
            let status = self.assumptions.bad_credentials_status;
            return oauth_error(status, "invalid_client", "Bad client credentials");
        }
        if field("grant_type") != "client_credentials" {
            return oauth_error(400, "unsupported_grant_type", "grant_type must be client_credentials");
        }
        let lifetime = self.assumptions.token_lifetime_seconds;
        let expires = now.checked_add_signed(TimeDelta::seconds(i64::from(lifetime))).unwrap_or(now);
        let token = self.ids.hex32();
        self.tokens.retain(|_, expires| *expires > now);
        self.tokens.insert(token.clone(), expires);
        oauth(Answer::json(
            200,
            json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime }),
        ))
    }

    /// Whether the request carries a token that is in force.
    pub(super) fn authenticate(&self, now: DateTime<Utc>, request: &TwinRequest) -> Result<(), Problem> {
        let token = request.header("authorization").and_then(|value| value.split_once(' '));
        let known = token
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, token)| self.tokens.get(token.trim()));
        if known.is_some_and(|expires| *expires > now) {
            return Ok(());
        }
        Err(Problem::new(401, "UNAUTHORIZED", "Access token is missing, unknown or expired"))
    }

    /// Forgets all tokens, as when the operator revokes them.
    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }
}

/// Id and secret of the `Authorization` header, as they were before encoding.
fn basic(request: &TwinRequest) -> Option<String> {
    let (scheme, encoded) = request.header("authorization")?.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sps::testing::{Bench, at};

    const READ: &str = "/blockListIndicator?pei=490154203237518";

    fn ask(bench: &mut Bench, authorization: Option<&str>, body: &str) -> (Option<u16>, serde_json::Value) {
        let mut request = TwinRequest::new("POST", "/oauth/token")
            .with_header("content-type", "application/x-www-form-urlencoded");
        if let Some(value) = authorization {
            request = request.with_header("authorization", value);
        }
        request.body = body.as_bytes().to_vec();
        let reply = bench.twin.handle(at(0), &request);
        (reply.status(), reply.json().unwrap())
    }

    #[test]
    fn s13_credentials_are_taken_in_the_header_and_in_the_form() {
        let mut bench = Bench::new();
        let header = format!("Basic {}", STANDARD.encode("sandbox:sandbox-secret"));
        let form = "grant_type=client_credentials&client_id=sandbox&client_secret=sandbox-secret";
        for (authorization, body) in [(Some(header.as_str()), "grant_type=client_credentials"), (None, form)]
        {
            let (status, token) = ask(&mut bench, authorization, body);
            assert_eq!((status, &token["expires_in"]), (Some(200), &json!(3600)));
            let token = token["access_token"].as_str().unwrap();
            let read = || TwinRequest::new("GET", READ).with_bearer(token);
            assert_eq!(bench.twin.handle(at(59), &read()).status(), Some(200));
            assert_eq!(bench.twin.handle(at(60), &read()).status(), Some(401), "expired");
        }
    }

    #[test]
    fn s13_others_are_refused_as_the_switch_says() {
        let mut bench = Bench::new();
        let wrong = "grant_type=client_credentials&client_id=sandbox&client_secret=x";
        let (status, body) = ask(&mut bench, None, wrong);
        assert_eq!((status, &body["error"]), (Some(401), &json!("invalid_client")));
        bench.twin.assumptions_mut().bad_credentials_status = 400;
        assert_eq!(ask(&mut bench, Some("Basic !"), "grant_type=client_credentials").0, Some(400));
        let password = "grant_type=password&client_id=sandbox&client_secret=sandbox-secret";
        assert_eq!(ask(&mut bench, None, password).1["error"], "unsupported_grant_type");
    }

    #[test]
    fn without_a_token_in_force_every_call_is_401() {
        let mut bench = Bench::new();
        bench.get_ok(READ);
        bench.twin.revoke_tokens();
        for request in [
            TwinRequest::new("GET", READ),
            TwinRequest::new("GET", READ).with_bearer("x"),
            TwinRequest::new("POST", "/activate").with_json(&json!({})),
            TwinRequest::new("GET", "/nowhere"),
        ] {
            let reply = bench.twin.handle(at(0), &request);
            assert_eq!(reply.status(), Some(401));
            assert_eq!(reply.json().unwrap()["code"], "UNAUTHORIZED");
        }
    }
}
