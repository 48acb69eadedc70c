//! A bench for the unit tests: a sandbox twin at noon on 1 March 2026, and short ways to call it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use simdepot_domain::iccid::Iccid;

use crate::reply::TwinReply;
use crate::request::TwinRequest;
use crate::{LineOperation, LineSpec, Twin, TwinConfig};

const SUBSCRIBERS: &str = "/connectivity-management/subscribers/api/subscribers/sim-serial";

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
        Self::of(TwinConfig::sandbox())
    }

    pub(crate) fn of(config: TwinConfig) -> Self {
        Self { twin: Twin::new(config), token: None }
    }

    /// The IoT account, whose lines are delivered available and whose connectivity management is open.
    pub(crate) fn iot() -> Self {
        Self::of(TwinConfig::iot())
    }

    /// One line write, with the account's rate plan unless the body has another.
    pub(crate) fn write(&mut self, iccid: &Iccid, operation: LineOperation, body: &Value) -> TwinReply {
        let mut whole = json!({ "ratePlan": self.twin.config().rate_plan });
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let target = format!("{SUBSCRIBERS}/{iccid}/{}", operation.path());
        self.call(TwinRequest::new(operation.method(), &target).with_json(&whole))
    }

    /// A write that is accepted; returns its transaction id.
    pub(crate) fn accepted(&mut self, iccid: &Iccid, operation: LineOperation, body: &Value) -> String {
        let reply = self.write(iccid, operation, body);
        let body = reply.json().unwrap();
        assert_eq!((reply.status(), &body["transactionStatus"]), (Some(201), &json!("PENDING")), "{body}");
        body["transactionId"].as_str().unwrap().to_owned()
    }

    /// A write that is accepted and carried out.
    pub(crate) fn done(&mut self, iccid: &Iccid, operation: LineOperation, body: &Value) {
        let id = self.accepted(iccid, operation, body);
        self.pass(5);
        assert_eq!(self.transaction(&id)["transactionStatus"], "DONE", "{}", self.transaction(&id));
    }

    /// The title of a write's refusal, which is a 400.
    pub(crate) fn refused(&mut self, iccid: &Iccid, operation: LineOperation, body: &Value) -> String {
        let reply = self.write(iccid, operation, body);
        assert_eq!(reply.status(), Some(400), "{operation:?} {:?}", reply.json());
        reply.json().unwrap()["title"].as_str().unwrap().to_owned()
    }

    pub(crate) fn transaction(&mut self, id: &str) -> Value {
        self.get_ok(&format!("/connectivity-management/subscribers/api/transactions/{id}"))
    }

    pub(crate) fn subscriber(&mut self, iccid: &Iccid) -> Value {
        self.get_ok(&format!("{SUBSCRIBERS}/{iccid}"))
    }

    /// Seconds pass on the twin's clock.
    pub(crate) fn pass(&mut self, seconds: i64) {
        self.twin.clock_mut().advance(TimeDelta::seconds(seconds));
    }

    /// The names of the lines' events so far, without what they have in common.
    pub(crate) fn line_events(&self) -> Vec<&str> {
        let prefix = "CONNECTIVITY-MANAGEMENT/SUBSCRIBER/";
        self.twin.events().iter().filter_map(|event| event.event_type.strip_prefix(prefix)).collect()
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
