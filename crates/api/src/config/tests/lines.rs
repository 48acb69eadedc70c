//! Settings of line management, and the example that shows them.

use simdepot_carrier_sps::SpsSettings;
use simdepot_carrier_transatel::LineSettings;
use simdepot_domain::line::Offer;
use simdepot_domain::sim::SimStatus;

use super::*;

const LINES: &str = r#"
offer = "mvno_uk"
also_terminate = ["preactivated", "tariff_holiday"]
transaction_done = ["DONE", "FINISHED"]
transaction_failed = ["BROKEN"]
group_in_subscriber_info = true
subscription_field = "product.subscriptionId"

[carriers.paths]
msisdn_swap = "PUT /elsewhere/{simSerial}/number"
network_usage = "GET /network/usage/api/cdrs"
"#;

fn lines_of(text: &str) -> Result<LineSettings, String> {
    let mut carriers = carriers_of(text, &[])?;
    match carriers.remove(0) {
        CarrierConfig::Transatel(account) => Ok(account.lines),
        CarrierConfig::Sps(_) => Err("another kind".to_owned()),
    }
}

#[test]
fn how_lines_are_managed_is_a_setting() {
    assert_eq!(lines_of(SPC), Ok(LineSettings::default()));
    let found = lines_of(&format!("{SPC}{LINES}")).unwrap();
    let mut expected = LineSettings {
        offer: Some(Offer::MvnoUk),
        also_terminate: vec![SimStatus::Preactivated, SimStatus::TariffHoliday],
        transaction_done: vec!["DONE".to_owned(), "FINISHED".to_owned()],
        transaction_failed: vec!["BROKEN".to_owned()],
        group_in_subscriber_info: true,
        subscription_field: "product.subscriptionId".to_owned(),
        ..LineSettings::default()
    };
    assert_ne!(found, expected, "paths");
    expected.paths.set("msisdn_swap", "PUT /elsewhere/{simSerial}/number").unwrap();
    expected.paths.set("network_usage", "GET /network/usage/api/cdrs").unwrap();
    assert_eq!(found, expected);
}

#[test]
fn a_wrong_setting_of_lines_is_named() {
    for (setting, expected) in [
        (
            "offer = \"spd\"",
            "spc: offer must be one of `spc`, `iot_connect_capped`, `mvno_france_light`, `mvno_uk`",
        ),
        ("also_terminate = [\"gone\"]", "spc: also_terminate[0] must be one of `available`"),
        ("transaction_done = \"DONE\"", "spc: transaction_done must be a sequence"),
        ("group_in_subscriber_info = 1", "spc: group_in_subscriber_info must be a boolean"),
        (
            "[carriers.paths]\nsuspends = \"POST /{simSerial}\"",
            "spc: paths.suspends is not known; known are activate, ",
        ),
        (
            "[carriers.paths]\nsuspend = \"GET /{simSerial}\"",
            "spc: paths.suspend must be POST, PUT or PATCH and a path",
        ),
        (
            "[carriers.paths]\ntransaction = \"GET /x\"",
            "spc: paths.transaction must be GET and a path with {transactionId} once",
        ),
        ("[carriers.paths]\nsuspend = 7", "spc: paths.suspend must be a string"),
        ("paths = 7", "spc: paths must be a map"),
    ] {
        let error = lines_of(&format!("{SPC}{setting}\n")).unwrap_err();
        assert!(error.contains(expected), "{setting}: {error}");
    }
}

#[test]
fn the_example_can_be_used_with_every_setting_switched_on() {
    let example = include_str!("../../../../../simdepot.example.toml");
    let secret_of = |account: &str| format!("SIMDEPOT_CARRIER_{account}_CLIENT_SECRET");
    let (spc, wholesale) = (secret_of("SPC"), secret_of("WHOLESALE"));
    let parse = |text: &str| carriers_of(text, &[(&spc, "SESAME"), (&wholesale, "SESAME")]);
    assert_eq!(parse(example).unwrap().len(), 1);
    // A setting that is switched off looks like `# name = value`.
    let is_setting = |line: &str| {
        let name = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")).map(|(name, _)| name);
        line.starts_with("# [")
            || name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    let on: Vec<&str> =
        example.lines().map(|line| if is_setting(line) { &line[2..] } else { line }).collect();
    let carriers = parse(&on.join("\n")).unwrap();
    let [CarrierConfig::Transatel(account), CarrierConfig::Sps(wholesale)] = carriers.as_slice() else {
        panic!("an account of each kind: {carriers:?}")
    };
    let mut standard = LineSettings { offer: Some(Offer::Spc), ..LineSettings::default() };
    standard.paths.set("network_usage", "GET /network/usage/api/cdrs").unwrap();
    standard.also_terminate = account.lines.also_terminate.clone();
    assert_eq!(account.lines, standard, "the example shows the defaults");
    let also_terminate = wholesale.settings.also_terminate.clone();
    let mut standard = SpsSettings { also_terminate, ..SpsSettings::default() };
    standard.webhook.header = wholesale.settings.webhook.header.clone();
    assert_eq!(wholesale.settings, standard, "the example shows the defaults");
}
