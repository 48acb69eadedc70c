//! Bodies for snapshots: what differs from run to run is checked to be what it should be, then replaced by a name.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{
    ApiKeyId, BundleId, EventId, HoldId, ImportId, LineJobId, OperationId, OrderId, ReconciliationId,
    WebhookEndpointId,
};
use simdepot_domain::msisdn::Msisdn;
use simdepot_tests::TestApp;

/// The body with checked placeholders.
///
/// # Panics
/// When a value is not what its field should hold.
pub(crate) fn checked(app: &TestApp, body: &Json) -> Json {
    value(app, "", body)
}

/// Takes a snapshot of a body, with its fields in alphabetical order.
macro_rules! assert_body {
    ($app:expr, $name:expr, $body:expr) => {
        insta::with_settings!({sort_maps => true, prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "snapshots"}, {
            insta::assert_json_snapshot!($name, $crate::checked::checked($app, $body));
        });
    };
}
pub(crate) use assert_body;

fn value(app: &TestApp, name: &str, given: &Json) -> Json {
    match given {
        // The ids of a receipt are the carrier's own.
        Json::Object(fields) if name == "receipt" => fields
            .iter()
            .map(|(name, field)| {
                let known_as = if name == "order_id" { "carrier_order_id" } else { name };
                (name.clone(), value(app, known_as, field))
            })
            .collect(),
        Json::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), value(app, name, field))).collect()
        }
        Json::Array(items) => items.iter().map(|item| value(app, name, item)).collect(),
        Json::String(text) => Json::String(replaced(app, name, text)),
        Json::Null | Json::Bool(_) | Json::Number(_) => given.clone(),
    }
}

fn replaced(app: &TestApp, name: &str, text: &str) -> String {
    match name {
        "id" | "batch" | "order" | "bundle" | "order_id" | "bundle_id" | "hold_id" | "event_id"
        | "existing" => id(text),
        "iccid" | "profile" | "replaces" => {
            let iccid = Iccid::parse(text).expect("an ICCID");
            assert!(iccid.luhn_ok(), "{text} has a wrong check digit");
            "[iccid]".to_owned()
        }
        "msisdn" => {
            Msisdn::parse(text).expect("an MSISDN");
            "[msisdn]".to_owned()
        }
        "lpa" => {
            let code = text.strip_prefix("LPA:").expect("the prefix of SGP.22 §4.1");
            ActivationCode::parse(code).expect("an activation code");
            "[lpa]".to_owned()
        }
        "matching_id" => {
            assert_eq!(text.len(), 32, "{text} was not delivered so");
            "[matching id]".to_owned()
        }
        "apple_install_url" | "android_install_url" => install_url(name, text),
        "request_id" | "carrier_reference" | "subscription_id" | "carrier_order_id" => {
            assert!(text.len() > 3, "{name} {text}");
            format!("[{}]", name.replace('_', " "))
        }
        "file_sha256" | "hash" => {
            assert!(text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit()), "{text}");
            if name == "hash" { "[hash]" } else { "[sha-256]" }.to_owned()
        }
        "key" => {
            assert!(text.starts_with("sd_") && text.len() == "sd_live_".len() + 64 + 8, "{name}");
            "[key]".to_owned()
        }
        "secret" => {
            assert!(text.starts_with("whsec_") && text.len() == "whsec_".len() + 44, "{name}");
            "[secret]".to_owned()
        }
        "hint" => {
            assert!(text.starts_with("sd_") && text.len() == 12, "{text}");
            "[hint]".to_owned()
        }
        _ if name.ends_with("_at")
            || matches!(name, "sell_by" | "time" | "timestamp" | "previous_secret_until") =>
        {
            let at: DateTime<Utc> = DateTime::parse_from_rfc3339(text).expect("a time of RFC 3339").into();
            assert!(text.ends_with('Z') && at.timestamp() > 1_700_000_000, "{name} {text}");
            "[timestamp]".to_owned()
        }
        _ => names(app, text),
    }
}

fn id(text: &str) -> String {
    assert!(text.len() <= 36, "{text}");
    known_id(text).unwrap_or_else(|| panic!("{text} is no id of this API"))
}

fn known_id(text: &str) -> Option<String> {
    let (prefix, _) = text.split_once('_')?;
    let kind = match prefix {
        "ord" => text.parse::<OrderId>().is_ok().then_some("order"),
        "hold" => text.parse::<HoldId>().is_ok().then_some("hold"),
        "op" => text.parse::<OperationId>().is_ok().then_some("operation"),
        "bdl" => text.parse::<BundleId>().is_ok().then_some("bundle"),
        "imp" => text.parse::<ImportId>().is_ok().then_some("import"),
        "rec" => text.parse::<ReconciliationId>().is_ok().then_some("reconciliation"),
        "job" => text.parse::<LineJobId>().is_ok().then_some("line job"),
        "key" => text.parse::<ApiKeyId>().is_ok().then_some("key"),
        "evt" => text.parse::<EventId>().is_ok().then_some("event"),
        "whe" => text.parse::<WebhookEndpointId>().is_ok().then_some("webhook endpoint"),
        _ => None,
    };
    kind.map(|kind| format!("[{kind} id]"))
}

fn install_url(name: &str, text: &str) -> String {
    let host = if name.starts_with("apple") { "esimsetup.apple.com" } else { "esimsetup.android.com" };
    let begin = format!("https://{host}/esim_qrcode_provisioning?carddata=LPA%3A1%24");
    assert!(text.starts_with(&begin), "{name} does not begin with {begin}");
    format!("{begin}[code]")
}

/// Names of this test, ids and ICCIDs inside other texts.
fn names(app: &TestApp, text: &str) -> String {
    if text == app.account {
        return "[account]".to_owned();
    }
    let text = text.replace(&app.pool, "[pool]").replace(&app.base_url, "[base]");
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let mut told = String::new();
    for piece in text.split_inclusive(|letter| !is_part(letter)) {
        let word = piece.trim_end_matches(|letter| !is_part(letter));
        told.push_str(&name(word).unwrap_or_else(|| word.to_owned()));
        told.push_str(piece.strip_prefix(word).unwrap_or_default());
    }
    told
}

fn name(word: &str) -> Option<String> {
    if Iccid::parse(word).is_ok() {
        return Some("[iccid]".to_owned());
    }
    // What `unique` makes ends in 20 hex digits.
    let (name, tail) = word.rsplit_once('-').unwrap_or_default();
    let is_unique = tail.len() == 20 && tail.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_unique { Some(format!("[{name}]")) } else { known_id(word) }
}
