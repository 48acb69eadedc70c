//! A bench for the unit tests: a sandbox twin at noon on 1 March 2026, and short ways to call it.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::state::SpsTwin;
use super::subscriptions::SpsSubscription;
use super::transactions::{SpsTransaction, SpsTransactionStatus};
use super::{SpsAssumptions, SpsConfig};
use crate::reply::TwinReply;
use crate::request::TwinRequest;
pub(super) use crate::testing::at;

/// A phone that the operator sells.
pub(super) const PHONE: &str = "2288151828896431";
/// A phone of the customer's own.
pub(super) const OWN_PHONE: &str = "490154203237518";
/// A phone that fits no network.
pub(super) const OLD_PHONE: &str = "260531793113837";
pub(super) const EID: &str = "89034011560010000000000000000121";

/// A line that was activated.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) iccid: String,
    pub(super) gpsi: String,
}

pub(super) struct Bench {
    pub(super) twin: SpsTwin,
    token: Option<String>,
    ids: u32,
}

impl Bench {
    pub(super) fn new() -> Self {
        // Bodies are compared whole.
        let assumptions = SpsAssumptions { unknown_fields: false, ..SpsAssumptions::default() };
        Self { twin: SpsTwin::new(SpsConfig { assumptions, ..SpsConfig::sandbox() }), token: None, ids: 0 }
    }

    pub(super) fn assume(patch: &Value) -> Self {
        let mut bench = Self::new();
        *bench.twin.assumptions_mut() = bench.twin.assumptions().patched(patch).unwrap();
        bench
    }

    pub(super) fn call(&mut self, request: TwinRequest) -> TwinReply {
        let token = self.token.clone().unwrap_or_else(|| self.fetch_token());
        self.twin.handle(at(0), &request.with_bearer(&token))
    }

    fn fetch_token(&mut self) -> String {
        let mut request = TwinRequest::new("POST", "/oauth/token")
            .with_header("content-type", "application/x-www-form-urlencoded");
        request.body =
            b"grant_type=client_credentials&client_id=sandbox&client_secret=sandbox-secret".to_vec();
        let reply = self.twin.handle(at(0), &request).json().unwrap();
        let token = reply["access_token"].as_str().unwrap().to_owned();
        self.token = Some(token.clone());
        token
    }

    pub(super) fn get(&mut self, target: &str) -> TwinReply {
        self.call(TwinRequest::new("GET", target))
    }

    pub(super) fn get_ok(&mut self, target: &str) -> Value {
        let reply = self.get(target);
        assert_eq!(reply.status(), Some(200), "{target}: {:?}", reply.json());
        reply.json().unwrap()
    }

    pub(super) fn get_refused(&mut self, target: &str, status: u16, code: &str) {
        let reply = self.get(target);
        let body = reply.json().unwrap();
        assert_eq!((reply.status(), &body["code"]), (Some(status), &json!(code)), "{target}");
    }

    /// Posts a body as it is.
    pub(super) fn post(&mut self, path: &str, body: &Value) -> TwinReply {
        self.call(TwinRequest::new("POST", path).with_json(body))
    }

    /// Posts a write under a new id, unless the body has one; returns the id.
    pub(super) fn write(&mut self, path: &str, body: &Value) -> (String, TwinReply) {
        self.ids += 1;
        let mut whole = json!({ "partnerTransactionId": format!("op_{}", self.ids) });
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let id = whole["partnerTransactionId"].as_str().unwrap_or_default().to_owned();
        (id, self.post(path, &whole))
    }

    /// A write that is acknowledged; returns its id.
    pub(super) fn accepted(&mut self, path: &str, body: &Value) -> String {
        let (id, reply) = self.write(path, body);
        assert_eq!((reply.status(), reply.json()), (Some(200), Some(json!({"status": "Success"}))), "{body}");
        id
    }

    /// A write that is acknowledged and ends; returns its transaction.
    pub(super) fn ended(&mut self, path: &str, body: &Value) -> SpsTransaction {
        let id = self.accepted(path, body);
        self.pass(2);
        self.twin.transaction(&id).unwrap().clone()
    }

    /// A write that is acknowledged and carried out; returns its transaction.
    pub(super) fn done(&mut self, path: &str, body: &Value) -> SpsTransaction {
        let ended = self.ended(path, body);
        assert_eq!(ended.status, SpsTransactionStatus::Completed, "{:?}", ended.failure);
        ended
    }

    /// A write that is refused, and makes no transaction.
    pub(super) fn refused(&mut self, path: &str, body: &Value, status: u16, code: &str) {
        let before = self.twin.transactions().len();
        let (_, reply) = self.write(path, body);
        let answer = reply.json().unwrap();
        assert_eq!((reply.status(), &answer["code"]), (Some(status), &json!(code)), "{body} {answer}");
        assert_eq!(self.twin.transactions().len(), before, "{body}");
    }

    /// Seconds pass on the twin's clock, and what is due happens.
    pub(super) fn pass(&mut self, seconds: i64) {
        self.twin.clock_mut().advance(TimeDelta::seconds(seconds));
        self.twin.settle(at(0));
    }

    /// An eSIM of the stock.
    pub(super) fn esim(&mut self) -> String {
        self.twin.add_sims_as(1, false).remove(0).iccid.as_str().to_owned()
    }

    /// A card of the stock.
    pub(super) fn card(&mut self) -> String {
        self.twin.add_sims_as(1, true).remove(0).iccid.as_str().to_owned()
    }

    /// What every activation has.
    pub(super) fn activation(&self, further: &Value) -> Value {
        let mut body = json!({ "subscriberId": "Sub001", "wholesalePlanId": "Plan001", "location": {} });
        body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        body
    }

    /// An active line on a new eSIM.
    pub(super) fn active(&mut self) -> Line {
        let iccid = self.esim();
        let body = self.activation(&json!({ "iccid": iccid }));
        self.done("/activate", &body);
        let gpsi = self.twin.subscription_of_iccid(&iccid).unwrap().gpsi.clone();
        Line { iccid, gpsi }
    }

    pub(super) fn subscription(&self, line: &Line) -> &SpsSubscription {
        self.twin.subscription_of_gpsi(&line.gpsi).unwrap()
    }
}
