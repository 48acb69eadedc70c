//! A bench for the unit tests: a sandbox twin at noon on 1 March 2026, and short ways to call it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use simdepot_domain::iccid::Iccid;

use crate::reply::TwinReply;
use crate::request::TwinRequest;
use crate::{LineSpec, Twin, TwinConfig};

pub(crate) const ALBANIA: &str = "WW_901O_STACK_ONEOFF_ALBANIA_1GB_7D";

/// Minutes after noon.
pub(crate) fn at(minute: i64) -> DateTime<Utc> {
    let noon: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
    noon + TimeDelta::minutes(minute)
}

pub(crate) struct Bench {
    pub(crate) twin: Twin,
    token: Option<String>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { twin: Twin::new(TwinConfig::sandbox()), token: None }
    }

    pub(crate) fn line(&mut self) -> LineSpec {
        self.twin.add_lines(1).remove(0)
    }

    pub(crate) fn ask_token(&mut self, id: &str, secret: &str, body: &str) -> TwinReply {
        let mut request = TwinRequest::new("POST", "/authentication/api/token")
            .with_header("Authorization", &format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
            .with_header("Content-Type", "application/x-www-form-urlencoded");
        request.body = body.as_bytes().to_vec();
        self.twin.handle(at(0), &request)
    }

    /// Fetches a new token and uses it from now on.
    pub(crate) fn token(&mut self) -> String {
        let reply = self.ask_token("sandbox", "sandbox-secret", "grant_type=client_credentials");
        let token = reply.json().unwrap()["access_token"].as_str().unwrap().to_owned();
        self.token = Some(token.clone());
        token
    }

    pub(crate) fn call(&mut self, request: TwinRequest) -> TwinReply {
        let token = self.token.clone().unwrap_or_else(|| self.token());
        self.twin.handle(at(0), &request.with_bearer(&token))
    }

    pub(crate) fn get(&mut self, target: &str) -> TwinReply {
        self.call(TwinRequest::new("GET", target))
    }

    pub(crate) fn get_ok(&mut self, target: &str) -> Value {
        let reply = self.get(target);
        assert_eq!(reply.status(), Some(200), "{target}: {:?}", reply.json());
        reply.json().unwrap()
    }

    pub(crate) fn get_refused(&mut self, target: &str, status: u16, title: &str) {
        let reply = self.get(target);
        assert_eq!(
            (reply.status(), &reply.json().unwrap()["title"]),
            (Some(status), &json!(title)),
            "{target}"
        );
    }

    pub(crate) fn options(&mut self, path: &str) -> String {
        let reply = self.call(TwinRequest::new("OPTIONS", path));
        assert_eq!(reply.status(), Some(204), "{path}");
        reply.header("allow").unwrap().to_owned()
    }

    pub(crate) fn order_body(&self, line: &LineSpec, order_type: &str) -> Value {
        json!({
            "bind": { "msisdn": line.msisdn() },
            "product": { "productId": ALBANIA },
            "payment": { "provider": "customer" },
            "source": "api",
            "orderType": order_type,
            "mvnoRef": self.twin.config().mvno_ref,
            "transactionReference": "ref-1",
        })
    }

    pub(crate) fn post_order(&mut self, body: &Value) -> TwinReply {
        self.call(TwinRequest::new("POST", "/ocs/subscriptions/api/orders/products").with_json(body))
    }

    pub(crate) fn order(&mut self, line: &LineSpec, order_type: &str) -> TwinReply {
        let body = self.order_body(line, order_type);
        self.post_order(&body)
    }

    pub(crate) fn order_of(&mut self, line: &LineSpec, order_type: &str, product: &str) -> TwinReply {
        let mut body = self.order_body(line, order_type);
        body["product"]["productId"] = json!(product);
        self.post_order(&body)
    }

    /// Downloads, installs and enables the profile.
    pub(crate) fn install(&mut self, iccid: &Iccid) {
        self.twin.simulate_download(iccid, None, at(0)).unwrap();
        self.twin.simulate_install(iccid, at(0)).unwrap();
        self.twin.simulate_enable(iccid, at(0)).unwrap();
    }
}
