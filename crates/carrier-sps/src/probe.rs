//! A check of an account that changes nothing: credentials, one harmless read, and what is still assumed.

use simdepot_carrier_http::Answer;
use simdepot_domain::carrier::{DeviceQuery, Probe, ProbeResult};
use simdepot_domain::device::Tac;

use crate::adapter::Sps;
use crate::notification::NotificationFields;
use crate::settings::{SpsSettings, StatusWords};
use crate::wire::compatibility;

/// A model that the operator's page asks for in its example.
const ANY_MODEL: &str = "35646252";

/// Runs every check.
pub(crate) async fn run(carrier: &Sps) -> Vec<Probe> {
    let mut probes = Vec::new();
    match carrier.check_credentials().await {
        Ok(()) => probes.push(probe("credentials", ProbeResult::Ok, "a token was granted")),
        Err(failure) => {
            let detail = format!("{}: check client_id, client_secret and token_url", failure.into_reason());
            probes.push(probe("credentials", ProbeResult::Failed, detail));
            return probes;
        }
    }
    probes.push(reading(carrier).await);
    probes.push(notifications(carrier));
    probes.extend(assumptions(carrier));
    probes
}

fn probe(what: &str, result: ProbeResult, detail: impl Into<String>) -> Probe {
    Probe { what: what.to_owned(), result, detail: detail.into() }
}

async fn reading(carrier: &Sps) -> Probe {
    const WHAT: &str = "read device models";
    let Ok(tac) = Tac::parse(ANY_MODEL) else {
        return probe(WHAT, ProbeResult::Failed, "could not be asked");
    };
    match carrier.read(compatibility::request(&DeviceQuery::Tac(tac))).await {
        Ok(answer) => judged(WHAT, &answer),
        Err(failure) => {
            probe(WHAT, ProbeResult::Failed, format!("could not be asked: {}", failure.into_reason()))
        }
    }
}

fn judged(what: &str, answer: &Answer) -> Probe {
    let status = answer.status;
    match status {
        _ if answer.is_page() => probe(what, ProbeResult::Failed, "a page was answered: check base_url"),
        200 => probe(what, ProbeResult::Ok, "answered"),
        404 => probe(
            what,
            ProbeResult::Optional,
            "HTTP 404: the model is not known, or nothing is there; check base_url",
        ),
        400 | 422 => {
            probe(what, ProbeResult::Optional, format!("HTTP {status}: the question was not accepted"))
        }
        401 | 403 => probe(
            what,
            ProbeResult::Failed,
            format!(
                "HTTP {status}: the account may not; check wholesale_customer_id and the account's rights"
            ),
        ),
        _ => probe(what, ProbeResult::Failed, format!("HTTP {status}: check base_url")),
    }
}

fn notifications(carrier: &Sps) -> Probe {
    const WHAT: &str = "notifications";
    if carrier.account.webhook_secret.is_some() {
        return probe(WHAT, ProbeResult::Ok, "webhook_secret is set");
    }
    probe(
        WHAT,
        ProbeResult::Optional,
        "without webhook_secret none is accepted; commands are followed by asking",
    )
}

/// What no page prints and no setting has changed.
fn assumptions(carrier: &Sps) -> Option<Probe> {
    let settings = &carrier.account.settings;
    let mut assumed: Vec<String> = settings.paths.assumed().map(|name| settings.paths.shown(name)).collect();
    if settings.words == StatusWords::default() {
        let words = |words: &[String]| words.join(", ");
        assumed.push(format!("terminal_statuses (now {})", words(&settings.words.terminal)));
        assumed.push(format!("failed_statuses (now {})", words(&settings.words.failed)));
    }
    if settings.notification == NotificationFields::default() {
        assumed.push("[carriers.notification] (now as in the example file)".to_owned());
    }
    if settings.device_statuses == SpsSettings::default().device_statuses {
        let words: Vec<&str> = settings.device_statuses.keys().map(String::as_str).collect();
        assumed.push(format!("device_statuses (now {})", words.join(", ")));
    }
    assumed.push("that a repeated partnerTransactionId is one command".to_owned());
    if carrier.account.token_url.is_none() {
        assumed.push(format!("token_url (now {{base_url}}{})", crate::account::TOKEN_PATH));
    }
    let detail = format!("no public page says these: confirm with the operator {}", assumed.join("; "));
    (!assumed.is_empty()).then(|| probe("assumed settings", ProbeResult::Optional, detail))
}
