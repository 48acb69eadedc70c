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
        (Fault::TurnedAway { status: 403 }, Some(403), 0),
    ] {
        let (got, orders, reply) = under(fault.clone());
        assert_eq!((got, orders), (status, taken), "{fault:?}");
        match fault {
            Fault::DropAfterApply => assert_eq!(reply, TwinReply::Drop { applied: true }),
            Fault::DropBeforeApply => assert_eq!(reply, TwinReply::Drop { applied: false }),
            Fault::TooMany429 { .. } => assert_eq!(reply.header("retry-after"), Some("2")),
            Fault::Garbage | Fault::TurnedAway { .. } => assert!(reply.json().is_none()),
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
fn a_script_aims_at_one_write() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    let matches = Matches { operation: Some(LineOperation::Suspend), ..Matches::default() };
    bench.twin.add_script(Script { matches, ..Script::once(CallName::LineWrite, Fault::Status503Before) });
    bench.done(&iccid, LineOperation::Activate, &json!({}));
    assert_eq!(bench.write(&iccid, LineOperation::Suspend, &json!({})).status(), Some(503));
    bench.done(&iccid, LineOperation::Suspend, &json!({}));
    // A look at a transaction is about its line.
    let matches = Matches { iccid: Some(iccid.to_string()), ..Matches::default() };
    bench
        .twin
        .add_script(Script { matches, ..Script::always(CallName::Transaction, Fault::Status503Before) });
    let id = bench.twin.transactions()[0].id.clone();
    let path = format!("/connectivity-management/subscribers/api/transactions/{id}");
    bench.get_refused(&path, 503, "SERVICE_UNAVAILABLE");
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
    let matches = Matches {
        iccid: Some(line.iccid.to_string()),
        product: Some(ALBANIA.to_owned()),
        ..Matches::default()
    };
    bench.twin.add_script(Script { matches, ..Script::always(CallName::Order, Fault::Status500Before) });
    let matches = Matches { msisdn: Some(line.msisdn().to_owned()), ..Matches::default() };
    bench.twin.add_script(Script { matches, ..Script::always(CallName::SimSearch, Fault::Status503Before) });
    assert_eq!(bench.order(&other, "preload").status(), Some(201));
    assert_eq!(bench.order_of(&line, "preload", "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D").status(), Some(201));
    assert_eq!(bench.order(&line, "preload").status(), Some(500));
    bench.get_refused(
        &format!("/sim-search/api/sim/search?simSerial=eq:{}", line.iccid),
        503,
        "SERVICE_UNAVAILABLE",
    );
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
    let script: Script =
        serde_json::from_value(json!({"call": "order", "fault": "drop_after_apply"})).unwrap();
    assert_eq!(script, Script::always(CallName::Order, Fault::DropAfterApply));
    let script: Script =
        serde_json::from_value(json!({"call": "any", "fault": {"too_many429": {}}, "times": 1})).unwrap();
    assert_eq!(script, Script::once(CallName::Any, Fault::TooMany429 { retry_after: None }));
    assert!(serde_json::from_value::<Script>(json!({"call": "order", "fault": "slow", "time": 1})).is_err());
}
