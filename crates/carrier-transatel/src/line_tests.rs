//! Line management against a real socket: what is sent, how often, and what is closed.

use std::sync::Arc;

use simdepot_domain::carrier::{
    Answered, BundleChangeOrder, Carrier, CommandReceipt, Commanded, Concern, LineKey, ProbeResult,
    ReadError, TransactionReading, UsageInterval, UsageQuery,
};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::{LineCommand, LineSetup, Offer};
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Source;
use simdepot_domain::operation::BundleCommand;
use simdepot_domain::sim::SimStatus;

use crate::stub::{Reply, Stub, TestClock, account, answer, line_order, problem};
use crate::wire::order;
use crate::{LocalTurns, Transatel, TransatelAccount};

const LINES: &str = "/connectivity-management/";
const ACCEPTED: &str = include_str!("../fixtures/command.json");

fn adapter_with(stub: &Stub, change: impl FnOnce(&mut TransatelAccount)) -> Transatel {
    let mut account = account(&stub.base_url);
    change(&mut account);
    Transatel::new(account, TestClock::new(), Arc::new(LocalTurns::default())).unwrap()
}

fn adapter(stub: &Stub) -> Transatel {
    adapter_with(stub, |_| ())
}

fn iccid() -> Iccid {
    Iccid::parse("8988247000000000017").unwrap()
}

#[tokio::test]
async fn a_command_is_sent_once_to_its_path() {
    let stub = Stub::start(|_| answer(201, ACCEPTED)).await;
    let carrier = adapter_with(&stub, |account| {
        account.lines.paths.set("suspend", "PUT /elsewhere/{simSerial}/stop").unwrap();
    });
    let accepted = Answered::Done(CommandReceipt::Accepted { transaction: Some("t-1".to_owned()) });
    let activate = LineCommand::Activate(LineSetup::default());
    assert_eq!(carrier.command_line(&line_order(activate)).await, accepted);
    assert_eq!(carrier.command_line(&line_order(LineCommand::Suspend)).await, accepted);
    let seen = stub.seen(LINES);
    assert_eq!(seen.len(), 1);
    assert!(seen[0].target.ends_with("/8988247000000000017/activate"));
    assert_eq!((seen[0].method.as_str(), seen[0].body.as_str()), ("POST", r#"{"ratePlan":"PLAN"}"#));
    assert_eq!(stub.seen("/elsewhere/8988247000000000017/stop")[0].method, "PUT");
}

#[tokio::test]
async fn a_lost_answer_to_a_command_is_unknown_and_it_was_sent_once() {
    for reply in
        [|| Reply::Drop, || Reply::Cut(201), || problem(503, "SERVICE_UNAVAILABLE"), || answer(504, "")]
    {
        let stub = Stub::start(move |_| reply()).await;
        let commanded = adapter(&stub).command_line(&line_order(LineCommand::Terminate)).await;
        assert!(matches!(commanded, Commanded::Unknown(_)), "{commanded:?}");
        assert_eq!(stub.seen(LINES).len(), 1);
    }
}

/// A refusal without a word of the service's own: whether the call is closed is asked where that is documented.
#[tokio::test]
async fn closed_line_management_is_told_from_a_bad_day() {
    for (allow, closed) in
        [("allow: OPTIONS\r\n", true), ("allow: POST, GET, OPTIONS\r\n", false), ("", false)]
    {
        let stub = Stub::start(move |seen| match (seen.method.as_str(), allow) {
            ("OPTIONS", allow) if !allow.is_empty() => Reply::Answer(204, allow, String::new()),
            _ => answer(403, "<html>Request blocked</html>"),
        })
        .await;
        let carrier = adapter(&stub);
        match carrier.command_line(&line_order(LineCommand::Suspend)).await {
            Commanded::Refused(refusal) => {
                assert!(closed && refusal.concerns == Concern::Account, "{allow}");
                assert!(refusal.detail.unwrap().contains("CONNECTIVITY_MANAGEMENT_WRITE"));
            }
            Commanded::NotTaken(_) => assert!(!closed, "{allow}"),
            other => panic!("{other:?}"),
        }
        let posts = stub.seen(LINES).into_iter().filter(|seen| seen.method == "POST").count();
        assert_eq!(posts, 1);
        match carrier.transaction("t-1").await.unwrap_err() {
            ReadError::Denied { code } => assert!(closed && code == "HTTP_403", "{allow}"),
            ReadError::Unavailable(_) => assert!(!closed, "{allow}"),
            other @ ReadError::Unreadable { .. } => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn transactions_and_cards_are_read_where_they_are() {
    let stub = Stub::start(|seen| {
        if seen.target.ends_with("/transactions/t%2F1") {
            answer(200, r#"{"transactionId":"t/1","transactionStatus":"ERROR","errorCode":"X"}"#)
        } else if seen.target.contains("/sim-cards/") {
            answer(200, include_str!("../fixtures/sim_card.json"))
        } else {
            problem(404, "TRANSACTION_NOT_FOUND")
        }
    })
    .await;
    let carrier = adapter(&stub);
    let failed = carrier.transaction("t/1").await.unwrap();
    assert!(matches!(failed, Some(TransactionReading::Failed(refusal)) if refusal.code == "X"));
    assert_eq!(carrier.transaction("t-2").await, Ok(None));
    let asked = stub.seen(LINES).len();
    for id in ["", ".", ".."] {
        assert_eq!(carrier.transaction(id).await, Ok(None));
    }
    assert_eq!(stub.seen(LINES).len(), asked);
    let card = carrier.sim_card(&iccid()).await.unwrap().unwrap();
    assert_eq!(card.codes.pin1.unwrap().expose(), "0123");
}

#[tokio::test]
async fn an_inferred_path_that_is_not_there_is_denied() {
    let stub = Stub::start(|_| problem(404, "NOT_FOUND")).await;
    let carrier = adapter(&stub);
    let denied = ReadError::Denied { code: "NOT_FOUND".to_owned() };
    assert_eq!(carrier.sim_card(&iccid()).await, Err(denied.clone()));
    assert_eq!(carrier.transaction("t-1").await, Err(denied));
    let commanded = carrier.command_line(&line_order(LineCommand::TariffHoliday)).await;
    let Commanded::Refused(refusal) = commanded else { panic!("{commanded:?}") };
    assert!(refusal.detail.unwrap().contains("[carriers.paths] tariff_holiday"));
    let known = carrier.command_line(&line_order(LineCommand::Suspend)).await;
    assert!(matches!(known, Commanded::NotTaken(_)), "{known:?}");
}

#[tokio::test]
async fn usage_only_where_it_is_set() {
    let stub = Stub::start(|_| answer(200, r#"{"usages":[{"date":"2026-03-01","bytes":7}]}"#)).await;
    let asked = UsageQuery {
        iccid: iccid(),
        msisdn: None,
        from: "2026-03-01T00:00:00Z".parse().unwrap(),
        to: "2026-03-02T00:00:00Z".parse().unwrap(),
        by: UsageInterval::Hour,
    };
    let unsupported = ReadError::Denied { code: "unsupported".to_owned() };
    assert_eq!(adapter(&stub).usage(&asked).await, Err(unsupported));
    assert!(stub.seen("/").is_empty());
    let carrier = adapter_with(&stub, |account| {
        account.lines.paths.set("network_usage", "GET /network/usage/api/cdrs").unwrap();
    });
    assert_eq!(carrier.usage(&asked).await.unwrap()[0].data_bytes, 7);
    assert_eq!(
        stub.seen("/network/")[0].target,
        "/network/usage/api/cdrs?simSerial=8988247000000000017&startDate=2026-03-01T00%3A00%3A00Z\
         &endDate=2026-03-02T00%3A00%3A00Z&interval=hourly"
    );
}

#[tokio::test]
async fn a_bundle_s_change_is_an_order() {
    let stub = Stub::start(|_| answer(201, r#"{"id":"ord-1","status":"done"}"#)).await;
    let change = BundleChangeOrder {
        msisdn: Msisdn::parse("33700000001").unwrap(),
        product: "P".to_owned(),
        subscription_id: "s-1".to_owned(),
        change: BundleCommand::Terminate,
        reference: "op_1".to_owned(),
    };
    let done = Answered::Done(CommandReceipt::Done { reference: Some("ord-1".to_owned()) });
    assert_eq!(adapter(&stub).change_bundle(&change).await, done);
    let seen = stub.seen(order::PATH);
    assert!(seen.len() == 1 && seen[0].body.contains(r#""subscriptionId":"s-1""#));
    let stub = Stub::start(|_| Reply::Drop).await;
    assert!(matches!(adapter(&stub).change_bundle(&change).await, Commanded::Unknown(_)));
}

#[tokio::test]
async fn a_line_with_all_that_its_source_tells() {
    let stub = Stub::start(|seen| match seen.target.starts_with("/sim-search/") {
        true => answer(200, include_str!("../fixtures/sim_search.json")),
        false => answer(200, include_str!("../fixtures/subscriber.json")),
    })
    .await;
    let carrier = adapter(&stub);
    let line = carrier.line(&LineKey::of(&iccid())).await.unwrap().unwrap();
    assert_eq!((line.source, line.sim_status), (Source::Read, Some(SimStatus::Suspended)));
    assert_eq!(line.details.group.as_deref(), Some("fleet-a"));
    assert!(!line.dated_by_carrier, "the date of a modification is none of the status");
    let page = carrier.fleet(1).await.unwrap();
    assert_eq!(page.lines[1].1.details.group.as_deref(), Some("fleet-a"));
}

#[tokio::test]
async fn what_the_account_s_lines_may_be_told() {
    let stub = Stub::start(|_| answer(200, "{}")).await;
    let rules = adapter(&stub).line_rules().unwrap();
    assert_eq!((rules.offer, rules.rate_plan, rules.also_terminate), (Offer::Spc, None, Vec::new()));
    let rules = adapter_with(&stub, |account| {
        account.cos = "WW_M2MA_COS_IOT_CONNECT".to_owned();
        account.rate_plan = Some("PLAN".to_owned());
        account.lines.also_terminate = vec![SimStatus::Preactivated];
    });
    let rules = rules.line_rules().unwrap();
    assert_eq!((rules.offer, rules.rate_plan.as_deref()), (Offer::IotConnectCapped, Some("PLAN")));
    assert_eq!(rules.also_terminate, [SimStatus::Preactivated]);
}

#[tokio::test]
async fn the_probe_looks_for_paths_that_nobody_confirmed() {
    let stub = Stub::start(|seen| match seen.method.as_str() {
        "OPTIONS" if seen.target.contains("/sim-cards/") || seen.target.ends_with("/leave-test-mode") => {
            problem(404, "NOT_FOUND")
        }
        "OPTIONS" => Reply::Answer(204, "allow: GET, POST, PUT, OPTIONS\r\n", String::new()),
        _ => answer(200, include_str!("../fixtures/catalogue.json")),
    })
    .await;
    let probes = adapter(&stub).probe().await;
    let found = |what: &str| probes.iter().find(|probe| probe.what == what).unwrap();
    assert_eq!(found("manage lines").result, ProbeResult::Ok);
    let paths = found("line paths");
    assert_eq!(paths.result, ProbeResult::Optional);
    assert!(paths.detail.contains("not found: leave_test_mode, sim_card;"), "{paths:?}");
    assert!(stub.seen(LINES).iter().all(|seen| seen.method == "OPTIONS"), "nothing was changed");
}
