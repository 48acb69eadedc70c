//! Accounts with a wholesale 5G operator.

use chrono::FixedOffset;
use simdepot_carrier_http::TokenCredentials;
use simdepot_carrier_sps::{IccidLookup, LineIdentifier, SpsSettings, WebhookAuth};
use simdepot_domain::sim::SimStatus;

use super::*;

const SPS: &str = r#"
[[carriers]]
account = "wholesale"
kind = "sps"
base_url = "https://api.example.com/v5"
client_id = "acme"
client_secret = "SESAME"
"#;

const EVERYTHING: &str = r#"
token_url = "https://id.example.com/token"
token_credentials = "body"
scope = "provisioning"
wholesale_customer_id = "920000108464"
webhook_secret = "SESAME"
webhook_auth = "hmac"
webhook_header = "X-Operator-Signature"
timeout_ms = 3000
max_requests_per_second = 5
terminal_statuses = ["Success"]
failed_statuses = ["Failure"]
pending_statuses = ["Working"]
device_statuses = { Active = "active", Hotlined = "suspended" }
iccid_lookup = "pei"
line_identifier = "msisdn"
also_terminate = ["suspended"]
strict_scenarios = false
bill_cycle_offset = "-06:00"

[carriers.paths]
status = "PATCH /subscription/status"

[carriers.notification]
reference = "transaction.id"
"#;

fn account_of(text: &str) -> Result<SpsConfig, String> {
    let mut carriers = carriers_of(text, &[])?;
    match carriers.remove(0) {
        CarrierConfig::Sps(account) => Ok(*account),
        CarrierConfig::Transatel(_) => Err("another kind".to_owned()),
    }
}

#[test]
fn an_account_with_its_defaults() {
    let account = account_of(SPS).unwrap();
    assert_eq!((account.account.as_str(), account.timeout), ("wholesale", Duration::from_secs(15)));
    assert_eq!((account.token_url, account.wholesale_customer_id, account.scope), (None, None, None));
    assert_eq!(account.token_credentials, TokenCredentials::Basic);
    assert_eq!(account.settings, SpsSettings::default());
    assert_eq!(account.client_secret.expose_secret(), "SESAME");
}

#[test]
fn every_setting() {
    let account = account_of(&format!("{SPS}{EVERYTHING}")).unwrap();
    assert!(!format!("{account:?}").contains("SESAME"));
    assert_eq!(account.token_url.as_deref(), Some("https://id.example.com/token"));
    assert_eq!(account.token_credentials, TokenCredentials::Body);
    assert_eq!((account.timeout, account.max_requests_per_second), (Duration::from_secs(3), 5));
    let mut expected = SpsSettings {
        iccid_lookup: IccidLookup::Pei,
        line_identifier: LineIdentifier::Msisdn,
        also_terminate: vec![SimStatus::Suspended],
        strict_scenarios: false,
        bill_cycle_offset: FixedOffset::west_opt(6 * 3600).unwrap(),
        ..SpsSettings::default()
    };
    expected.words.terminal = vec!["Success".to_owned()];
    expected.words.failed = vec!["Failure".to_owned()];
    expected.words.pending = vec!["Working".to_owned()];
    let status = |(word, status): (&str, SimStatus)| (word.to_owned(), status);
    expected.device_statuses =
        [("Active", SimStatus::Active), ("Hotlined", SimStatus::Suspended)].map(status).into();
    expected.webhook.auth = WebhookAuth::Hmac;
    expected.webhook.header = Some("X-Operator-Signature".to_owned());
    expected.paths.set("status", "PATCH /subscription/status").unwrap();
    expected.notification.set("reference", "transaction.id").unwrap();
    assert_eq!(account.settings, expected);
}

#[test]
fn a_wrong_setting_is_named() {
    for (setting, expected) in [
        ("mvno_ref = \"x\"", "wholesale: mvno_ref is not known; known are one of `account`"),
        ("token_credentials = \"header\"", "wholesale: token_credentials must be `basic` or `body`"),
        ("webhook_auth = \"none\"", "wholesale: webhook_auth must be one of `any`, `hmac`, `bearer`"),
        ("webhook_secret = 20250101", "wholesale: webhook_secret must be a string"),
        ("iccid_lookup = \"on\"", "wholesale: iccid_lookup must be one of `off`, `pei`, `iccid`"),
        ("device_statuses = { Gone = \"gone\" }", "wholesale: device_statuses.Gone must be one of"),
        ("bill_cycle_offset = \"Denver\"", "wholesale: bill_cycle_offset must be the operator's distance"),
        (
            "[carriers.paths]\ncease = \"POST /x\"",
            "wholesale: paths.cease is not known; known are activate, ",
        ),
        (
            "[carriers.paths]\nstatus = \"GET /x\"",
            "wholesale: paths.status must be POST, PUT or PATCH and a path",
        ),
        ("[carriers.notification]\ncolour = \"x\"", "wholesale: notification.colour is not known; known are"),
    ] {
        let error = account_of(&format!("{SPS}{setting}\n")).unwrap_err();
        assert!(error.contains(expected), "{setting}: {error}");
        assert!(!error.contains("20250101"), "{error}");
    }
}

#[test]
fn an_offer_of_another_carrier_is_none_of_transatel_s() {
    let error = carriers_of(&format!("{SPC}offer = \"wholesale\""), &[]).unwrap_err();
    assert!(error.contains("spc: offer must be one of Transatel's"), "{error}");
}
