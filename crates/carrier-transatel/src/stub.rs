//! What the tests share: the stub carrier, an account at it, and orders.

use std::time::Duration;

pub(crate) use simdepot_carrier_http::stub::{Reply, Seen, Stub, TestClock, answer};
use simdepot_domain::bundle::OrderType;
use simdepot_domain::carrier::{BundleOrder, LineOrder};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineCommand;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::secret::Secret;

use crate::account::TransatelAccount;
use crate::settings::LineSettings;

pub(crate) fn problem(status: u16, title: &str) -> Reply {
    answer(status, &format!(r#"{{"title":"{title}"}}"#))
}

pub(crate) fn account(base_url: &str) -> TransatelAccount {
    TransatelAccount {
        account: "spc".into(),
        base_url: base_url.into(),
        client_id: "acme".into(),
        client_secret: Secret::new("opensesame"),
        mvno_ref: "M2MA_WW_TSL_ACME".into(),
        cos: "WW_M2MA_COS_SPC".into(),
        rate_plan: None,
        lines: LineSettings::default(),
        timeout: Duration::from_secs(5),
        max_requests_per_second: 1000,
        webhook_secret: None,
        source: "simdepot".into(),
    }
}

pub(crate) fn bundle_order() -> BundleOrder {
    BundleOrder {
        iccid: Iccid::parse("8988247000000000017").unwrap(),
        msisdn: Msisdn::parse("33700000001").unwrap(),
        product: "WW_TEST_ALBANIA_1GB_7D".into(),
        order_type: OrderType::Preload,
        reference: "op_1".into(),
    }
}

pub(crate) fn line_order(command: LineCommand) -> LineOrder {
    let iccid = Iccid::parse("8988247000000000017").unwrap();
    LineOrder {
        reference: "op_1".to_owned(),
        iccid,
        msisdn: None,
        from: None,
        rate_plan: Some("PLAN".to_owned()),
        command,
        contact: None,
    }
}
