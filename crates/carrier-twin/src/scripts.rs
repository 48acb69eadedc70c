//! Failures on purpose: which calls fail, how, how often.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gateway::Route;
use crate::request::TwinRequest;
use crate::state::Twin;
use crate::subscriber::SubscriberKey;

/// The calls that a script can aim at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallName {
    /// Access token.
    Token,
    /// Catalogue, list and single.
    Catalogue,
    /// Product order.
    Order,
    /// Inventory, list and single.
    Inventory,
    /// eSIM details.
    Esim,
    /// SIM Search.
    SimSearch,
    /// Everything under connectivity management.
    Subscriber,
    /// Every call, unknown URLs and `OPTIONS` included.
    Any,
}

/// How a call fails. *Before* means that nothing happened, *after* that everything did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Takes effect, then the connection closes without an answer.
    DropAfterApply,
    /// The connection closes without an answer; nothing happened.
    DropBeforeApply,
    /// The connection closes without an answer, and the request takes effect later all the same: it was waiting in
    /// a queue of the carrier's.
    ApplyLate {
        /// How much later, in milliseconds.
        ms: u64,
    },
    /// 503 `SERVICE_UNAVAILABLE`; nothing happened.
    #[serde(rename = "status503_before")]
    Status503Before,
    /// Takes effect, then 503 `SERVICE_UNAVAILABLE`.
    #[serde(rename = "status503_after_apply")]
    Status503AfterApply,
    /// Takes effect, then 504 `GATEWAY_TIMEOUT`.
    #[serde(rename = "status504_after_apply")]
    Status504AfterApply,
    /// 500 `INTERNAL_ERROR`; nothing happened.
    #[serde(rename = "status500_before")]
    Status500Before,
    /// Takes effect, then the answer waits.
    Slow {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// 401: the token is not accepted; nothing happened.
    #[serde(rename = "unauthorized401")]
    Unauthorized401,
    /// 429 `TOO_MANY_REQUESTS`; nothing happened.
    #[serde(rename = "too_many429")]
    TooMany429 {
        /// `Retry-After` in seconds, if any.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// Takes effect, then the right status with JSON of another shape.
    WrongShape,
    /// Takes effect, then the right status with a body that is not JSON.
    Garbage,
    /// A problem of one's own; nothing happened.
    RefuseTitle {
        /// HTTP status, 400 to 599.
        status: u16,
        /// Problem title.
        title: String,
    },
}

/// Makes calls fail. The first script that fits a call is used; the rest are left for later calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Which call.
    pub call: CallName,
    /// How it fails.
    pub fault: Fault,
    /// How many times; `None` is for ever.
    #[serde(default)]
    pub times: Option<u32>,
    /// How often, of 1000; `None` is always.
    #[serde(default)]
    pub probability_per_mille: Option<u16>,
    /// Which subjects.
    #[serde(default)]
    pub matches: Matches,
}

impl Script {
    /// A script that fires once.
    pub fn once(call: CallName, fault: Fault) -> Self {
        Self { times: Some(1), ..Self::always(call, fault) }
    }

    /// A script that always fires.
    pub fn always(call: CallName, fault: Fault) -> Self {
        Self { call, fault, times: None, probability_per_mille: None, matches: Matches::default() }
    }
}

/// What a call must be about for a script to fit. An ICCID also fits calls by the line's MSISDN, and the reverse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matches {
    /// ICCID.
    pub iccid: Option<String>,
    /// MSISDN, digits.
    pub msisdn: Option<String>,
    /// Product id.
    pub product: Option<String>,
}

impl Matches {
    fn fit(&self, subject: &Self) -> bool {
        let fits = |wanted: &Option<String>, given: &Option<String>| wanted.is_none() || wanted == given;
        fits(&self.iccid, &subject.iccid)
            && fits(&self.msisdn, &subject.msisdn)
            && fits(&self.product, &subject.product)
    }
}

/// A script in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActiveScript {
    /// As given.
    #[serde(flatten)]
    pub script: Script,
    /// How many times it has fired.
    pub fired: u32,
}

impl Twin {
    /// Adds a script.
    pub fn add_script(&mut self, script: Script) {
        self.scripts.push(ActiveScript { script, fired: 0 });
    }

    /// The scripts with their counts, used up ones included.
    pub fn scripts(&self) -> &[ActiveScript] {
        &self.scripts
    }

    /// Removes all scripts.
    pub fn clear_scripts(&mut self) {
        self.scripts.clear();
    }

    /// The fault that a call meets, if any.
    pub(crate) fn draw_fault(&mut self, call: Option<CallName>, request: &TwinRequest) -> Option<Fault> {
        if self.scripts.is_empty() {
            return None;
        }
        let subject = self.subject(request);
        for active in &mut self.scripts {
            let script = &active.script;
            let aimed = script.call == CallName::Any || Some(script.call) == call;
            let left = script.times.is_none_or(|times| active.fired < times);
            if !aimed || !left || !script.matches.fit(&subject) {
                continue;
            }
            if script.probability_per_mille.is_none_or(|chance| self.random.per_mille(chance)) {
                active.fired = active.fired.saturating_add(1);
                return Some(active.script.fault.clone());
            }
        }
        None
    }

    /// What a request is about.
    fn subject(&self, request: &TwinRequest) -> Matches {
        let mut subject = Matches { msisdn: request.query_value("msisdn"), ..Matches::default() };
        match Route::of(request) {
            Some(Route::Catalogue { product, .. }) => subject.product = product,
            Some(Route::Orders) => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
                subject.msisdn = text("/bind/msisdn");
                subject.product = text("/product/productId");
            }
            Some(Route::Esim { iccid } | Route::Subscriber(SubscriberKey::SimSerial(iccid))) => {
                subject.iccid = Some(iccid);
            }
            Some(Route::Subscriber(SubscriberKey::Msisdn(msisdn))) => subject.msisdn = Some(msisdn),
            Some(Route::SimSearch) => {
                let serial = request.query_value("simSerial");
                subject.iccid = serial.and_then(|text| text.strip_prefix("eq:").map(str::to_owned));
            }
            Some(Route::Token | Route::Inventory { .. } | Route::Connectivity) | None => {}
        }
        let by_msisdn = subject.msisdn.as_deref().and_then(|msisdn| self.msisdns.get(msisdn));
        subject.iccid = subject.iccid.or_else(|| by_msisdn.cloned());
        let line = subject.iccid.as_deref().and_then(|iccid| self.line(iccid));
        let own = line.and_then(|line| line.spec.msisdn.as_ref()).map(|msisdn| msisdn.as_str().to_owned());
        subject.msisdn = subject.msisdn.or(own);
        subject
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;
    use crate::reply::TwinReply;
    use crate::testing::{ALBANIA, Bench};

    /// What an order comes to under a fault: status (none when dropped), and the orders taken.
    fn under(fault: Fault) -> (Option<u16>, usize, TwinReply) {
        let mut bench = Bench::new();
        let line = bench.line();
        bench.token();
        bench.twin.add_script(Script::once(CallName::Order, fault));
        let reply = bench.order(&line, "preload");
        let taken = bench.twin.orders().len();
        assert_eq!(bench.order(&line, "preload").status(), Some(201), "fires once only");
        (reply.status(), taken, reply)
    }

    #[test]
    fn each_fault_does_what_its_name_says() {
        for (fault, status, taken) in [
            (Fault::DropAfterApply, None, 1),
            (Fault::DropBeforeApply, None, 0),
            (Fault::ApplyLate { ms: 1000 }, None, 0),
            (Fault::Status503Before, Some(503), 0),
            (Fault::Status503AfterApply, Some(503), 1),
            (Fault::Status504AfterApply, Some(504), 1),
            (Fault::Status500Before, Some(500), 0),
            (Fault::Slow { ms: 1500 }, Some(201), 1),
            (Fault::Unauthorized401, Some(401), 0),
            (Fault::TooMany429 { retry_after: Some(2) }, Some(429), 0),
            (Fault::WrongShape, Some(201), 1),
            (Fault::Garbage, Some(201), 1),
            (Fault::RefuseTitle { status: 501, title: "MISSING".to_owned() }, Some(501), 0),
        ] {
            let (got, orders, reply) = under(fault.clone());
            assert_eq!((got, orders), (status, taken), "{fault:?}");
            match fault {
                Fault::DropAfterApply => assert_eq!(reply, TwinReply::Drop { applied: true }),
                Fault::DropBeforeApply => assert_eq!(reply, TwinReply::Drop { applied: false }),
                Fault::TooMany429 { .. } => assert_eq!(reply.header("retry-after"), Some("2")),
                Fault::Garbage => assert!(reply.json().is_none()),
                Fault::WrongShape => assert!(reply.json().unwrap().get("subscriptionId").is_none()),
                Fault::RefuseTitle { .. } => assert_eq!(reply.json().unwrap()["title"], "MISSING"),
                Fault::Slow { .. } => {
                    let TwinReply::Answer { delay, .. } = reply else { panic!("dropped") };
                    assert_eq!(delay.as_millis(), 1500);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_late_request_takes_effect_when_its_time_comes() {
        let mut bench = Bench::new();
        let line = bench.line();
        bench.token();
        bench.twin.add_script(Script::once(CallName::Order, Fault::ApplyLate { ms: 30_000 }));
        bench.order(&line, "preload");
        bench.get_ok("/sim-search/api/sim/search");
        assert!(bench.twin.orders().is_empty());
        bench.twin.clock_mut().advance(TimeDelta::seconds(40));
        bench.get_ok("/sim-search/api/sim/search");
        let order = &bench.twin.orders()[0];
        assert_eq!(order.submitted_at, crate::testing::at(0) + TimeDelta::seconds(30));
    }

    #[test]
    fn a_dropped_refusal_was_not_applied() {
        let mut bench = Bench::new();
        let line = bench.line();
        bench.token();
        bench.twin.add_script(Script::once(CallName::Any, Fault::DropAfterApply));
        assert_eq!(bench.order(&line, "subscribe"), TwinReply::Drop { applied: false });
    }

    #[test]
    fn a_script_fits_by_iccid_msisdn_and_product() {
        let mut bench = Bench::new();
        let (line, other) = (bench.line(), bench.line());
        bench.token();
        let matches = Matches { iccid: Some(line.iccid.to_string()), product: Some(ALBANIA.to_owned()), msisdn: None };
        bench.twin.add_script(Script { matches, ..Script::always(CallName::Order, Fault::Status500Before) });
        let matches = Matches { msisdn: Some(line.msisdn().to_owned()), ..Matches::default() };
        bench.twin.add_script(Script { matches, ..Script::always(CallName::SimSearch, Fault::Status503Before) });
        assert_eq!(bench.order(&other, "preload").status(), Some(201));
        assert_eq!(bench.order_of(&line, "preload", "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D").status(), Some(201));
        assert_eq!(bench.order(&line, "preload").status(), Some(500));
        bench.get_refused(&format!("/sim-search/api/sim/search?simSerial=eq:{}", line.iccid), 503, "SERVICE_UNAVAILABLE");
        bench.get_ok(&format!("/sim-search/api/sim/search?simSerial=eq:{}", other.iccid));
        assert_eq!(bench.twin.scripts()[0].fired, 1);
    }

    #[test]
    fn chance_repeats_with_the_seed() {
        let run = || {
            let mut bench = Bench::new();
            bench.token();
            let script = Script::always(CallName::SimSearch, Fault::Status503Before);
            bench.twin.add_script(Script { probability_per_mille: Some(300), ..script });
            (0..100).map(|_| bench.get("/sim-search/api/sim/search").status()).collect::<Vec<_>>()
        };
        let statuses = run();
        assert_eq!(statuses, run());
        let failed = statuses.iter().filter(|status| **status == Some(503)).count();
        assert!((15..45).contains(&failed), "{failed}");
    }

    #[test]
    fn a_refused_token_is_an_oauth_error() {
        let mut bench = Bench::new();
        bench.twin.add_script(Script::once(CallName::Token, Fault::Unauthorized401));
        let reply = bench.ask_token("sandbox", "sandbox-secret", "grant_type=client_credentials");
        assert_eq!((reply.status(), &reply.json().unwrap()["error"]), (Some(401), &json!("invalid_client")));
    }

    #[test]
    fn scripts_read_from_short_json() {
        let script: Script = serde_json::from_value(json!({"call": "order", "fault": "drop_after_apply"})).unwrap();
        assert_eq!(script, Script::always(CallName::Order, Fault::DropAfterApply));
        let script: Script =
            serde_json::from_value(json!({"call": "any", "fault": {"too_many429": {}}, "times": 1})).unwrap();
        assert_eq!(script, Script::once(CallName::Any, Fault::TooMany429 { retry_after: None }));
        assert!(serde_json::from_value::<Script>(json!({"call": "order", "fault": "slow", "time": 1})).is_err());
    }
}
