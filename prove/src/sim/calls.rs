//! What a request to a carrier is: which call, whether it changes something, and what it is known by.

use serde_json::Value;
use simdepot_carrier_transatel::ExchangeAnswer;
use simdepot_carrier_twin::TwinRequest;

use super::carriers::To;

/// What a request is.
pub(super) fn call_of(to: To, request: &TwinRequest) -> &'static str {
    const OF_TRANSATEL: [(&str, &str); 6] = [
        ("/authentication/", "token"),
        ("/ocs/catalog/", "catalogue"),
        ("/ocs/subscriptions/api/orders/", "order"),
        ("/ocs/", "inventory"),
        ("/sim-search/", "search"),
        ("/sim-management/", "esim"),
    ];
    const OF_WHOLESALE: [(&str, &str); 9] = [
        ("/oauth/token", "token"),
        ("/activate", "activate"),
        ("/status", "status"),
        ("/deviceSim/change", "change"),
        ("/blockListIndicator", "blocked"),
        ("/blockList", "block list"),
        ("/transaction/", "transaction"),
        ("/compatibility", "compatibility"),
        ("/deviceDetails", "device"),
    ];
    let (calls, other): (&[(&str, &str)], _) = match to {
        To::Transatel if request.method == "GET" => (&OF_TRANSATEL, "line"),
        To::Transatel => (&OF_TRANSATEL, "command"),
        To::Wholesale => (&OF_WHOLESALE, "other"),
    };
    let found = calls.iter().find(|(prefix, _)| request.path.starts_with(prefix));
    found.map_or(other, |(_, call)| call)
}

/// Whether a call changes something.
pub(super) fn is_write(call: &str) -> bool {
    matches!(call, "order" | "command" | "activate" | "status" | "change" | "block list")
}

/// A list of plans without some of them.
pub(super) fn without(answer: &ExchangeAnswer, hidden: impl Fn(&str) -> bool) -> Option<ExchangeAnswer> {
    let mut body: Value = serde_json::from_slice(&answer.body).ok()?;
    let plans = body.get_mut("productSubscriptions")?.as_array_mut()?;
    let all = plans.len();
    plans.retain(|plan| !plan.get("subscriptionId").and_then(Value::as_str).is_some_and(&hidden));
    if plans.len() == all {
        return None;
    }
    Some(ExchangeAnswer { body: serde_json::to_vec(&body).ok()?, ..answer.clone() })
}

/// What a write is known by: our number of it where the carrier has one, else its SIM.
pub(super) fn reference_of(call: &str, request: &TwinRequest) -> Option<String> {
    let after = |mark: &str| Some(request.path.split_once(mark)?.1.split('/').next()?.to_owned());
    let field = match call {
        "order" => "transactionReference",
        "activate" | "status" | "change" | "block list" => "partnerTransactionId",
        "command" => return after("/sim-serial/"),
        "transaction" => return after("/transaction/status/"),
        _ => return None,
    };
    let body: Value = serde_json::from_slice(&request.body).ok()?;
    body.get(field)?.as_str().map(str::to_owned)
}
