//! Access tokens: `POST /authentication/api/token` (assumption A1).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::form;
use crate::reply::{Answer, Problem};
use crate::request::TwinRequest;
use crate::state::Twin;

const SCOPE: &str =
    "CATALOG_PRODUCTS_READ INVENTORY_SUBSCRIPTIONS_READ SIMS_ESIM_READ SEARCH-SIM_SIM_READ USER_READ";

impl Twin {
    /// Hands out a token for the account's credentials. Errors are OAuth's, not problems.
    pub(crate) fn grant_token(&mut self, now: DateTime<Utc>, request: &TwinRequest) -> Answer {
        if !self.credentials_match(request) {
            let status = self.assumptions.bad_credentials_status;
            return oauth_error(status, "invalid_client", "Bad client credentials");
        }
        let grant = String::from_utf8_lossy(&request.body);
        let grant = form::pairs(&grant).into_iter().find(|(name, _)| name == "grant_type");
        if grant.is_none_or(|(_, value)| value != "client_credentials") {
            return oauth_error(400, "unsupported_grant_type", "grant_type must be client_credentials");
        }
        let lifetime = self.assumptions.token_lifetime_seconds;
        let expires = now.checked_add_signed(TimeDelta::seconds(i64::from(lifetime))).unwrap_or(now);
        let token = self.make_token(expires);
        self.tokens.retain(|_, expires| *expires > now);
        self.tokens.insert(token.clone(), expires);
        let mut body = json!({ "access_token": token, "token_type": "bearer", "expires_in": lifetime });
        if let Some(fields) = body.as_object_mut().filter(|_| self.assumptions.token_scope_returned) {
            fields.insert("scope".to_owned(), json!(SCOPE));
        }
        oauth(Answer::json(200, body))
    }

    /// Whether the request carries a token that is in force.
    pub(crate) fn authenticate(&self, now: DateTime<Utc>, request: &TwinRequest) -> Result<(), Problem> {
        let token = request.header("authorization").and_then(|value| value.split_once(' '));
        let known = token
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, token)| self.tokens.get(token.trim()));
        if known.is_some_and(|expires| *expires > now) {
            return Ok(());
        }
        Err(Problem::new(401, "UNAUTHORIZED", "Access token is missing, unknown or expired"))
    }

    /// Forgets all tokens, as when the carrier revokes them.
    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    fn credentials_match(&self, request: &TwinRequest) -> bool {
        let given = request
            .header("authorization")
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok());
        let expected = format!("{}:{}", self.config.client_id, self.config.client_secret.expose());
        given.is_some_and(|given| given == expected.as_bytes())
    }

    /// Three parts like a signed token; the third is a number of ours in the place of a signature.
    fn make_token(&mut self, expires: DateTime<Utc>) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({ "alg": "RS256", "typ": "JWT" }));
        let claims = part(json!({
            "client_id": self.config.client_id,
            "exp": expires.timestamp(),
            "jti": self.ids.uuid(),
        }));
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(self.ids.hex32()))
    }
}

/// An OAuth error, which has neither `title` nor `detail`.
pub(crate) fn oauth_error(status: u16, error: &str, description: &str) -> Answer {
    oauth(Answer::json(status, json!({ "error": error, "error_description": description })))
}

pub(crate) fn oauth(answer: Answer) -> Answer {
    answer.with_header("cache-control", "no-store").with_header("pragma", "no-cache")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, at};

    const SEARCH: &str = "/sim-search/api/sim/search";

    #[test]
    fn a1_a_token_has_an_hour_and_a_scope() {
        let mut bench = Bench::new();
        let reply = bench.ask_token("sandbox", "sandbox-secret", "grant_type=client_credentials");
        let body = reply.json().unwrap();
        assert_eq!(
            (reply.status(), &body["expires_in"], &body["token_type"]),
            (Some(200), &json!(3600), &json!("bearer"))
        );
        assert!(body["scope"].as_str().unwrap().contains("SIMS_ESIM_READ"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let token = body["access_token"].as_str().unwrap();
        assert_eq!(token.split('.').count(), 3);
        let call = || TwinRequest::new("GET", SEARCH).with_bearer(token);
        assert_eq!(bench.twin.handle(at(59), &call()).status(), Some(200));
        assert_eq!(bench.twin.handle(at(60), &call()).status(), Some(401));
    }

    #[test]
    fn a1_bad_credentials_and_grants_are_oauth_errors() {
        let mut bench = Bench::new();
        for (id, secret) in [("sandbox", "wrong"), ("other", "sandbox-secret"), ("", "")] {
            let reply = bench.ask_token(id, secret, "grant_type=client_credentials");
            assert_eq!(
                (reply.status(), &reply.json().unwrap()["error"]),
                (Some(401), &json!("invalid_client"))
            );
        }
        for body in ["grant_type=password", "", "scope=x"] {
            let reply = bench.ask_token("sandbox", "sandbox-secret", body);
            assert_eq!(
                (reply.status(), &reply.json().unwrap()["error"]),
                (Some(400), &json!("unsupported_grant_type"))
            );
        }
    }

    #[test]
    fn a1_can_be_turned_over() {
        let mut bench = Bench::new();
        bench.twin.assumptions_mut().token_lifetime_seconds = 5;
        bench.twin.assumptions_mut().token_scope_returned = false;
        bench.twin.assumptions_mut().bad_credentials_status = 400;
        let body = bench
            .ask_token("sandbox", "sandbox-secret", "grant_type=client_credentials&scope=A")
            .json()
            .unwrap();
        assert!(body.get("scope").is_none() && body["expires_in"] == 5);
        assert_eq!(bench.ask_token("sandbox", "no", "").status(), Some(400));
    }

    #[test]
    fn a_missing_foreign_or_revoked_token_is_a_problem() {
        let mut bench = Bench::new();
        let bearer = TwinRequest::new("GET", SEARCH).with_bearer("x.y.z");
        for request in [TwinRequest::new("GET", SEARCH), bearer, TwinRequest::new("OPTIONS", SEARCH)] {
            let reply = bench.twin.handle(at(0), &request);
            assert_eq!(
                (reply.status(), &reply.json().unwrap()["title"]),
                (Some(401), &json!("UNAUTHORIZED"))
            );
        }
        bench.get_ok(SEARCH);
        bench.twin.revoke_tokens();
        bench.get_refused(SEARCH, 401, "UNAUTHORIZED");
    }
}
