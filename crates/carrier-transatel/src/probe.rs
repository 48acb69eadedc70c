//! Checks an account's credentials and rights without changing anything, for `simdepot doctor`.

use simdepot_carrier_http::{Gateway, Method};
use simdepot_domain::carrier::{Probe, ProbeResult, ReadError};

use crate::account::TransatelAccount;
use crate::lines::ASK_FOR;
use crate::paths::{Endpoint, PathName, Paths};
use crate::wire::{catalogue, esim, inventory, order, rights, sim_search, subscriber};

/// Stands for a SIM where a path needs one: rights are asked of the URL, not of the SIM.
const ANY_SIM: &str = "0000000000000000000";

struct Right {
    what: &'static str,
    path: String,
    method: Method,
    /// What to report when it is missing.
    missing: ProbeResult,
    advice: &'static str,
}

fn rights_of(cos: &str) -> [Right; 6] {
    let right = |what, path, method, missing, advice| Right { what, path, method, missing, advice };
    let needed = ProbeResult::Failed;
    [
        right(
            "read catalogue",
            catalogue::path(cos),
            Method::Get,
            needed,
            "ask Transatel to open the OCS catalog",
        ),
        right(
            "place orders",
            order::PATH.into(),
            Method::Post,
            needed,
            "ask Transatel to open OCS subscriptions",
        ),
        right(
            "read inventory",
            inventory::PATH.into(),
            Method::Get,
            needed,
            "ask Transatel to open the OCS inventory",
        ),
        right(
            "read eSIM details",
            esim::path(ANY_SIM),
            Method::Get,
            needed,
            "ask Transatel to open SIM management",
        ),
        right(
            "search SIMs",
            sim_search::PATH.into(),
            Method::Get,
            needed,
            "ask Transatel to open SIM Search",
        ),
        right(
            "read subscribers",
            subscriber::path(ANY_SIM),
            Method::Get,
            ProbeResult::Optional,
            "line statuses come from SIM Search, which lags; ask Transatel to open connectivity management",
        ),
    ]
}

/// Line management, which the stock can do without.
fn line_rights_of(paths: &Paths) -> Vec<Right> {
    let right = |what, name, advice| {
        let endpoint = paths.of(name)?;
        let (path, method) = (endpoint.path(ANY_SIM), endpoint.method());
        Some(Right { what, path, method, missing: ProbeResult::Optional, advice })
    };
    [
        right("manage lines", PathName::Activate, ASK_FOR),
        right("read transactions", PathName::Transaction, ASK_FOR),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs all checks, one after the other. Without a token only the first one can be made.
pub(crate) async fn run(gateway: &Gateway, account: &TransatelAccount) -> Vec<Probe> {
    let token = credentials(gateway).await;
    let failed = token.result != ProbeResult::Ok;
    let mut probes = vec![token];
    if failed {
        return probes;
    }
    for right in rights_of(&account.cos) {
        probes.push(check(gateway, &right).await);
    }
    let paths = &account.lines.paths;
    for right in line_rights_of(paths) {
        probes.push(check(gateway, &right).await);
    }
    if probes.iter().any(|probe| probe.what == "manage lines" && probe.result == ProbeResult::Ok) {
        probes.push(unconfirmed_paths(gateway, paths).await);
    }
    probes.push(class_of_service(gateway, &account.cos).await);
    probes
}

fn probe(what: &str, result: ProbeResult, detail: impl Into<String>) -> Probe {
    Probe { what: what.to_owned(), result, detail: detail.into() }
}

async fn credentials(gateway: &Gateway) -> Probe {
    const WHAT: &str = "access token";
    match gateway.check_credentials().await {
        Ok(()) => probe(WHAT, ProbeResult::Ok, "client_id and client_secret were accepted"),
        Err(failure) => {
            let seen = failure.into_reason();
            let advice = "check base_url, client_id and client_secret with Transatel";
            probe(WHAT, ProbeResult::Failed, format!("{seen}; {advice}"))
        }
    }
}

async fn check(gateway: &Gateway, right: &Right) -> Probe {
    let method = right.method.as_str();
    let (result, detail) = match gateway.call(&rights::request(&right.path)).await {
        Ok(answer) => match rights::parse(&answer, right.method) {
            Some(true) => (ProbeResult::Ok, format!("{method} is allowed")),
            Some(false) => (right.missing, format!("{method} is not allowed: {}", right.advice)),
            None => {
                (right.missing, format!("the rights cannot be read (HTTP {}): check base_url", answer.status))
            }
        },
        Err(failure) => (right.missing, format!("could not be checked: {}", failure.into_reason())),
    };
    probe(right.what, result, detail)
}

/// Looks for the paths that no document prints. An unknown URL is documented to answer 404.
async fn unconfirmed_paths(gateway: &Gateway, paths: &Paths) -> Probe {
    const WHAT: &str = "line paths";
    let mut missing = Vec::new();
    for endpoint in paths.unconfirmed() {
        if !is_there(gateway, endpoint).await {
            missing.push(endpoint.name.to_string());
        }
    }
    if missing.is_empty() {
        return probe(WHAT, ProbeResult::Ok, "every path in use is there");
    }
    let list = missing.join(", ");
    probe(
        WHAT,
        ProbeResult::Optional,
        format!("not found: {list}; confirm them in [carriers.paths] with Transatel"),
    )
}

async fn is_there(gateway: &Gateway, endpoint: &Endpoint) -> bool {
    match gateway.call(&rights::request(&endpoint.path(ANY_SIM))).await {
        Ok(answer) => rights::parse(&answer, endpoint.method()) == Some(true),
        Err(_) => false,
    }
}

/// Reads the catalogue for real: only that shows whether the class of service is the account's own.
async fn class_of_service(gateway: &Gateway, cos: &str) -> Probe {
    const WHAT: &str = "class of service";
    let products = match gateway.call(&catalogue::list_request(cos)).await {
        Ok(answer) => catalogue::parse_list(&answer),
        Err(failure) => Err(failure.into()),
    };
    match products {
        Ok(products) if products.is_empty() => {
            probe(WHAT, ProbeResult::Failed, format!("{cos} offers no product: check cos with Transatel"))
        }
        Ok(products) => probe(WHAT, ProbeResult::Ok, format!("{cos} offers {} products", products.len())),
        Err(error @ ReadError::Denied { .. }) => probe(
            WHAT,
            ProbeResult::Failed,
            format!("{error}: {cos} is not a class of service of this account; check cos"),
        ),
        Err(error) => probe(WHAT, ProbeResult::Failed, error.to_string()),
    }
}
