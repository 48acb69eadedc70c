//! What the tests share: the stub carrier, an account at it, and orders.

use std::time::Duration;

use serde_json::{Value, json};
use simdepot_carrier_http::TokenCredentials;
pub(crate) use simdepot_carrier_http::stub::{Reply, Stub, TestClock, answer};
use simdepot_domain::carrier::{LineKey, LineOrder};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineCommand;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;

use crate::account::SpsAccount;
use crate::settings::SpsSettings;

pub(crate) const ICCID: &str = "8965880812100011146";
pub(crate) const NUMBER: &str = "19459986891";
pub(crate) const ACK: &str = r#"{"status":"Success"}"#;

pub(crate) fn account(base_url: &str) -> SpsAccount {
    SpsAccount {
        account: "wholesale".into(),
        base_url: base_url.into(),
        token_url: None,
        client_id: "acme".into(),
        client_secret: Secret::new("opensesame"),
        token_credentials: TokenCredentials::Basic,
        scope: None,
        wholesale_customer_id: Some("920000108464".into()),
        webhook_secret: None,
        timeout: Duration::from_secs(5),
        max_requests_per_second: 1000,
        settings: SpsSettings::default(),
    }
}

/// What a pool's profiles are activated with.
pub(crate) fn activation() -> Value {
    json!({ "wholesale_plan_id": "Plan001", "bucket_ref_ids": ["B1"], "location": { "zip": "80120" } })
}

pub(crate) fn line_key() -> LineKey {
    LineKey { iccid: Iccid::parse(ICCID).unwrap(), msisdn: Some(Msisdn::parse(NUMBER).unwrap()), imei: None }
}

pub(crate) fn line_order(command: LineCommand, from: Option<SimStatus>) -> LineOrder {
    LineOrder {
        reference: "op_1".to_owned(),
        iccid: Iccid::parse(ICCID).unwrap(),
        msisdn: None,
        from,
        rate_plan: None,
        command,
        contact: None,
    }
}
