//! Failures on purpose: which calls fail, how, how often.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gateway::Route;
use crate::line_operation::LineOperation;
use crate::random::Random;
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
    /// Subscriber reads, and whatever else is asked under connectivity management.
    Subscriber,
    /// Writes on a line.
    LineWrite,
    /// Transaction status.
    Transaction,
    /// SIM card information.
    SimCard,
    /// SPS: activate a subscription.
    Activate,
    /// SPS: suspend, resume, cease, reactivate.
    Status,
    /// SPS: change of device, SIM or both.
    Change,
    /// SPS: put a device on the blocklist, or take it off.
    BlockList,
    /// SPS: compatibility of a device.
    Compatibility,
    /// SPS: device details of a subscription.
    DeviceDetails,
    /// SPS: whether a device is on the blocklist.
    BlockListIndicator,
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
    /// A page of HTML from something in front of the service, such as a firewall; nothing happened.
    TurnedAway {
        /// HTTP status, 400 to 599.
        status: u16,
    },
    /// A write that makes a transaction is accepted, and its transaction ends in an error. Other calls go through.
    LateFailure {
        /// `errorCode` of the transaction.
        code: String,
        /// `errorMessage` of the transaction.
        message: String,
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
    /// MSISDN, digits; a GPSI is one.
    pub msisdn: Option<String>,
    /// Product id.
    pub product: Option<String>,
    /// Which line write.
    pub operation: Option<LineOperation>,
}

impl Matches {
    fn fit(&self, subject: &Self) -> bool {
        let fits = |wanted: &Option<String>, given: &Option<String>| wanted.is_none() || wanted == given;
        fits(&self.iccid, &subject.iccid)
            && fits(&self.msisdn, &subject.msisdn)
            && fits(&self.product, &subject.product)
            && (self.operation.is_none() || self.operation == subject.operation)
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

/// The fault of the first script that fits a call, if any; the script counts it.
pub(crate) fn draw(
    scripts: &mut [ActiveScript],
    random: &mut Random,
    call: Option<CallName>,
    subject: &Matches,
) -> Option<Fault> {
    for active in scripts {
        let script = &active.script;
        let aimed = script.call == CallName::Any || Some(script.call) == call;
        let left = script.times.is_none_or(|times| active.fired < times);
        if !aimed || !left || !script.matches.fit(subject) {
            continue;
        }
        if script.probability_per_mille.is_none_or(|chance| random.per_mille(chance)) {
            active.fired = active.fired.saturating_add(1);
            return Some(active.script.fault.clone());
        }
    }
    None
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
        draw(&mut self.scripts, &mut self.random, call, &subject)
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
            Some(Route::LineWrite { iccid, operation }) => {
                subject.iccid = Some(iccid);
                subject.operation = Some(operation);
            }
            Some(
                Route::Esim { iccid }
                | Route::SimCard { iccid }
                | Route::Subscriber(SubscriberKey::SimSerial(iccid)),
            ) => subject.iccid = Some(iccid),
            Some(Route::Transaction { id }) => {
                subject.iccid = self.transactions.find(&id).map(|transaction| transaction.iccid.clone());
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
        let own = line.and_then(|line| line.msisdn.as_ref()).map(|msisdn| msisdn.as_str().to_owned());
        subject.msisdn = subject.msisdn.or(own);
        subject
    }
}

#[cfg(test)]
mod tests;
