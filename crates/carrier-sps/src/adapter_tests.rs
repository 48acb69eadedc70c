//! The adapter against a real socket: what is sent, how often, and what the answers come to.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use simdepot_carrier_http::TokenCredentials;
use simdepot_carrier_http::stub::Seen;
use simdepot_domain::bundle::OrderType;
use simdepot_domain::carrier::{
    ActivationContext, ActivationOrder, Answered, BundleOrder, Capability, Carrier, CommandReceipt,
    Commanded, Concern, DeviceBlockOrder, DeviceChangeOrder, DeviceQuery, EventRefused, LineKey, Numbering,
    ProbeResult, ReadError, TransactionReading, UNSUPPORTED,
};
use simdepot_domain::device::{ChangeType, DeviceChange, Tac};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;
use simdepot_domain::line::{LineAction, LineCommand, Offer};
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Source;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;

use crate::stub::{
    ACK, ICCID, NUMBER, Reply, Stub, TestClock, account, activation, answer, line_key, line_order,
};
use crate::{IccidLookup, LocalTurns, Sps, SpsAccount};

const PEI: &str = "2288151828896431";

fn adapter_with(stub: &Stub, change: impl FnOnce(&mut SpsAccount)) -> Sps {
    let mut account = account(&stub.base_url);
    change(&mut account);
    Sps::new(account, TestClock::new(), Arc::new(LocalTurns::default())).unwrap()
}

fn adapter(stub: &Stub) -> Sps {
    adapter_with(stub, |_| ())
}

fn accepted(reference: &str) -> Commanded {
    Answered::Done(CommandReceipt::Accepted { transaction: Some(reference.to_owned()) })
}

fn activation_order(carrier: &Sps) -> ActivationOrder {
    let ordered_at = "2026-03-31T08:00:00Z".parse().unwrap();
    let context = ActivationContext { subscriber: "ord_1".to_owned(), quantity: 1, ordered_at };
    let terms = carrier.activation_terms(&activation(), None, &context).unwrap();
    ActivationOrder { reference: "op_1".to_owned(), iccid: Iccid::parse(ICCID).unwrap(), terms }
}

fn block_order(block: bool) -> DeviceBlockOrder {
    let imei = Imei::parse(PEI).unwrap();
    DeviceBlockOrder { reference: "op_3".to_owned(), line: line_key(), imei, block }
}

fn change_order() -> DeviceChangeOrder {
    let change = DeviceChange {
        change_type: ChangeType::DeviceOnly,
        new_imei: Some(Imei::parse(PEI).unwrap()),
        new_iccid: None,
        new_eid: None,
        delivery: None,
    };
    DeviceChangeOrder { reference: "op_2".to_owned(), line: line_key(), change }
}

fn details(iccid: &str) -> String {
    json!({ "deviceStatus": "Suspended", "isBlocked": false, "gpsi": NUMBER, "iccid": iccid, "pei": PEI })
        .to_string()
}

fn header<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    seen.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
}

#[tokio::test]
async fn every_write_is_sent_once_and_acknowledged() {
    let stub = Stub::start(|_| answer(200, ACK)).await;
    let carrier = adapter_with(&stub, |account| {
        account.settings.paths.set("status", "PATCH /elsewhere/status").unwrap();
    });
    assert_eq!(carrier.activate(&activation_order(&carrier)).await, accepted("op_1"));
    assert_eq!(carrier.change_device(&change_order()).await, accepted("op_2"));
    assert_eq!(carrier.block_device(&block_order(true)).await, accepted("op_3"));
    let suspend = line_order(LineCommand::Suspend, Some(SimStatus::Active));
    assert_eq!(carrier.command_line(&suspend).await, accepted("op_1"));
    for (path, method) in [
        ("/activate", "POST"),
        ("/deviceSim/change", "POST"),
        ("/blockList", "POST"),
        ("/elsewhere/status", "PATCH"),
    ] {
        let seen = stub.seen(path);
        assert_eq!((seen.len(), seen[0].method.as_str()), (1, method), "{path}");
        assert!(serde_json::from_str::<Value>(&seen[0].body).is_ok());
    }
    assert_eq!(stub.seen("/oauth/token").len(), 1);
}

#[tokio::test]
async fn headers_name_the_customer_and_the_flow() {
    let stub = Stub::start(|_| answer(200, ACK)).await;
    let carrier = adapter(&stub);
    let order = activation_order(&carrier);
    for _ in 0..2 {
        let _ = carrier.activate(&order).await;
        let _ = carrier.transaction("op_1").await;
        let _ = carrier.is_blocked(&Imei::parse(PEI).unwrap()).await;
    }
    let flows = |prefix: &str| -> BTreeSet<String> {
        let seen = stub.seen(prefix);
        assert!(seen.iter().all(|seen| header(seen, "wholesalecustomerid") == Some("920000108464")));
        seen.iter().map(|seen| header(seen, "x-correlation-id").unwrap().to_owned()).collect()
    };
    let of_command = flows("/activate");
    assert_eq!((of_command.len(), flows("/transaction/status/op_1")), (1, of_command.clone()));
    let of_reads = flows("/blockListIndicator");
    assert!(of_reads.len() == 2 && of_reads.is_disjoint(&of_command));
    let without = adapter_with(&stub, |account| account.wholesale_customer_id = None);
    let tac = DeviceQuery::Tac(Tac::parse("35646252").unwrap());
    let _ = without.device_model(&tac).await;
    assert_eq!(header(&stub.seen("/compatibility?tac=35646252")[0], "wholesalecustomerid"), None);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_was_sent_once() {
    for reply in [
        || Reply::Drop,
        || Reply::Cut(200),
        || answer(500, ""),
        || answer(504, "<html>"),
        || answer(200, "<p>"),
    ] {
        let stub = Stub::start(move |_| reply()).await;
        let carrier = adapter(&stub);
        let commanded = carrier.activate(&activation_order(&carrier)).await;
        assert!(matches!(commanded, Commanded::Unknown(_)), "{commanded:?}");
        assert_eq!(stub.seen("/activate").len(), 1);
    }
}

#[tokio::test]
async fn refusals_by_status_against_a_socket() {
    for (status, concerns) in [
        (400, Concern::Request),
        (403, Concern::Account),
        (404, Concern::Request),
        (409, Concern::LineStatus),
        (422, Concern::Request),
    ] {
        let stub = Stub::start(move |_| answer(status, r#"{"message":"no"}"#)).await;
        let commanded = adapter(&stub).block_device(&block_order(false)).await;
        let Commanded::Refused(refusal) = commanded else { panic!("{status}: {commanded:?}") };
        assert_eq!(refusal.concerns, concerns);
        assert!(refusal.detail.unwrap().starts_with("no"));
    }
    let stub = Stub::start(|_| Reply::Answer(429, "retry-after: 7\r\n", String::new())).await;
    let commanded = adapter(&stub).change_device(&change_order()).await;
    assert!(matches!(commanded, Commanded::NotTaken(why) if why.retry_after_ms == Some(7_000)));
}

/// A token that is turned away is renewed once; what is still turned away then is refused.
#[tokio::test]
async fn a_401_renews_the_token_once() {
    let stub = Stub::start(|seen| {
        let renewed = seen.head.contains("bearer token-2");
        answer(if renewed && seen.target == "/activate" { 200 } else { 401 }, ACK)
    })
    .await;
    let carrier = adapter(&stub);
    assert_eq!(carrier.activate(&activation_order(&carrier)).await, accepted("op_1"));
    assert_eq!(stub.seen("/activate").len(), 2);
    let commanded = carrier.change_device(&change_order()).await;
    assert!(matches!(commanded, Commanded::Refused(refusal) if refusal.concerns == Concern::Account));
    assert_eq!(stub.seen("/deviceSim/change").len(), 2);
}

#[tokio::test]
async fn tokens_may_come_from_elsewhere_with_credentials_in_the_form() {
    let tokens = Stub::start(|_| answer(404, "")).await;
    let stub = Stub::start(|_| answer(200, ACK)).await;
    let carrier = adapter_with(&stub, |account| {
        account.token_url = Some(format!("{}/realm/token", tokens.base_url));
        account.token_credentials = TokenCredentials::Body;
        account.scope = Some("provisioning".to_owned());
    });
    assert_eq!(carrier.block_device(&block_order(true)).await, accepted("op_3"));
    let asked = tokens.seen("/realm/token");
    assert_eq!(
        asked[0].body,
        "grant_type=client_credentials&client_id=acme&client_secret=opensesame&scope=provisioning"
    );
    assert!(header(&asked[0], "authorization").is_none());
    assert!(stub.seen("/oauth/token").is_empty());
}

#[tokio::test]
async fn what_cannot_be_said_is_not_sent() {
    let stub = Stub::start(|_| answer(200, ACK)).await;
    let carrier = adapter(&stub);
    let mut order = activation_order(&carrier);
    order.terms.msisdn = Some(Msisdn::parse("123456").unwrap());
    let mut change = change_order();
    change.change.new_imei = None;
    let mut block = block_order(true);
    block.line.msisdn = None;
    let pointers = [
        ("/msisdn must be", carrier.activate(&order).await),
        ("/new_imei must be", carrier.change_device(&change).await),
        ("/msisdn must be", carrier.block_device(&block).await),
    ];
    for (pointer, commanded) in pointers {
        let Commanded::Refused(refusal) = commanded else { panic!("{commanded:?}") };
        assert!(refusal.detail.unwrap().starts_with(pointer));
    }
    for path in ["/activate", "/deviceSim", "/blockList"] {
        assert!(stub.seen(path).is_empty());
    }
}

#[tokio::test]
async fn transactions_are_read_by_our_number() {
    let stub = Stub::start(|seen| match seen.target.as_str() {
        "/transaction/status/op_1" => answer(200, r#"{"status":"Completed"}"#),
        "/transaction/status/op_2" => answer(200, ACK),
        "/transaction/status/op_3" => answer(200, r#"{"status":"Failed","reasonDesc":"no SIM"}"#),
        _ => answer(404, ""),
    })
    .await;
    let carrier = adapter(&stub);
    assert_eq!(carrier.transaction("op_1").await, Ok(Some(TransactionReading::Done)));
    let unrecognised = TransactionReading::Unrecognised { status: "Success".to_owned() };
    assert_eq!(carrier.transaction("op_2").await, Ok(Some(unrecognised)));
    let failed = carrier.transaction("op_3").await.unwrap();
    assert!(
        matches!(failed, Some(TransactionReading::Failed(refusal)) if refusal.detail.as_deref() == Some("no SIM"))
    );
    assert_eq!(carrier.transaction("op_4").await, Ok(None));
    for id in ["", ".", ".."] {
        assert_eq!(carrier.transaction(id).await, Ok(None));
    }
    assert_eq!(stub.seen("/transaction").len(), 4);
}

/// The number first, then the device, then the SIM where the account says how; an answer counts for the SIM it names.
#[tokio::test]
async fn a_line_is_found_by_what_is_known_of_it() {
    const OTHER: &str = "89148000007829999354";
    let stub = Stub::start(|seen| match seen.target.as_str() {
        "/deviceDetails?gpsi=12812368903" => answer(200, &details(OTHER)),
        "/deviceDetails?gpsi=19459986891"
        | "/deviceDetails?pei=2288151828896431"
        | "/deviceDetails?pei=8965880812100011146"
        | "/deviceDetails?iccid=8965880812100011146" => answer(200, &details(ICCID)),
        _ => answer(404, ""),
    })
    .await;
    let carrier = adapter(&stub);
    let key = |msisdn: Option<&str>, imei: Option<&str>| LineKey {
        msisdn: msisdn.map(|text| Msisdn::parse(text).unwrap()),
        imei: imei.map(|text| Imei::parse(text).unwrap()),
        ..LineKey::of(&Iccid::parse(ICCID).unwrap())
    };
    let line = carrier.line(&key(Some(NUMBER), None)).await.unwrap().unwrap();
    assert_eq!((line.sim_status, line.source), (Some(SimStatus::Suspended), Source::Read));
    assert_eq!(line.msisdn.unwrap().as_str(), NUMBER);
    let denied = |code: &str| Err(ReadError::Denied { code: code.to_owned() });
    let moved = key(Some("2812368903"), None);
    assert_eq!(carrier.line(&moved).await, denied("OTHER_SIM"));
    let device = carrier.device(&moved).await.unwrap().unwrap();
    assert_eq!(device.iccid.unwrap().as_str(), OTHER, "the line of the number, wherever it is");
    assert!(carrier.line(&key(Some("2812368903"), Some(PEI))).await.unwrap().is_some());
    assert_eq!(carrier.line(&key(Some("13035551111"), None)).await, Ok(None));
    assert_eq!(carrier.line(&key(None, Some("260531793113837"))).await, denied("OTHER_SIM"));
    assert_eq!(carrier.line(&key(None, None)).await, denied("NOTHING_TO_ASK_BY"));
    assert_eq!(stub.seen("/deviceDetails?pei=8965880812100011146").len(), 0, "an ICCID is no device");
    for lookup in [IccidLookup::Pei, IccidLookup::Iccid] {
        let carrier = adapter_with(&stub, |account| account.settings.iccid_lookup = lookup);
        assert!(carrier.line(&key(None, None)).await.unwrap().is_some(), "{lookup}");
    }
}

#[tokio::test]
async fn devices_are_read() {
    let stub = Stub::start(|seen| match seen.target.as_str() {
        "/compatibility?pei=2288151828896431" => answer(200, r#"{"equipmentType":"PHONE"}"#),
        "/blockListIndicator?pei=2288151828896431" => answer(200, r#"{"blockListIndicator":true}"#),
        _ => answer(404, ""),
    })
    .await;
    let carrier = adapter(&stub);
    let imei = Imei::parse(PEI).unwrap();
    let model = carrier.device_model(&DeviceQuery::Imei(imei.clone())).await.unwrap().unwrap();
    assert_eq!(model.equipment_type.as_deref(), Some("PHONE"));
    assert_eq!(carrier.device_model(&DeviceQuery::Tac(Tac::parse("35646252").unwrap())).await, Ok(None));
    assert_eq!(carrier.is_blocked(&imei).await, Ok(true));
}

#[tokio::test]
async fn what_the_operator_has_not_is_denied_unasked() {
    let stub = Stub::start(|_| answer(200, ACK)).await;
    let carrier = adapter(&stub);
    let iccid = Iccid::parse(ICCID).unwrap();
    let denied = ReadError::Denied { code: UNSUPPORTED.to_owned() };
    assert_eq!(carrier.products().await.unwrap_err(), denied);
    assert_eq!(carrier.product("P").await.unwrap_err(), denied);
    assert_eq!(carrier.esim(&iccid).await.unwrap_err(), denied);
    assert_eq!(carrier.bundles(&Msisdn::parse(NUMBER).unwrap()).await.unwrap_err(), denied);
    assert_eq!(carrier.fleet(1).await.unwrap_err(), denied);
    let order = BundleOrder {
        iccid,
        msisdn: Msisdn::parse(NUMBER).unwrap(),
        product: "P".to_owned(),
        order_type: OrderType::Preload,
        reference: "op_1".to_owned(),
    };
    let placed = carrier.place_bundle(&order).await;
    assert!(matches!(placed, Answered::Refused(refusal) if refusal.code == UNSUPPORTED));
    assert!(stub.seen("/").is_empty());
    assert!(!carrier.capabilities().contains(&Capability::Products));
    assert_eq!((carrier.numbering(), carrier.calls_per_second()), (Numbering::Ours, Some(1000)));
    let rules = carrier.line_rules().unwrap();
    assert_eq!((rules.offer, rules.rate_plan.is_none()), (Offer::Wholesale, true));
    assert!(rules.check(LineAction::Terminate, SimStatus::Suspended, None).is_err());
    let also = adapter_with(&stub, |account| account.settings.also_terminate = vec![SimStatus::Suspended]);
    assert!(also.line_rules().unwrap().check(LineAction::Terminate, SimStatus::Suspended, None).is_ok());
}

#[tokio::test]
async fn notifications_need_a_secret_and_are_read() {
    let stub = Stub::start(|_| answer(200, ACK)).await;
    let body = br#"{"eventId":"e","partnerTransactionId":"op_1","status":"Completed"}"#;
    let bearer = |name: &str| (name == "authorization").then(|| "Bearer hush".to_owned());
    assert_eq!(adapter(&stub).authenticate(&bearer, body), Err(EventRefused::NotConfigured));
    let carrier = adapter_with(&stub, |account| account.webhook_secret = Some(Secret::new("hush")));
    assert_eq!(carrier.authenticate(&bearer, body), Ok(()));
    assert_eq!(carrier.authenticate(&|_| None, body), Err(EventRefused::Unsigned));
    assert_eq!(carrier.event(body).unwrap().id, "e");
}

#[tokio::test]
async fn the_probe_tells_what_is_assumed() {
    let stub = Stub::start(|_| answer(200, r#"{"equipmentType":"PHONE"}"#)).await;
    let results = |probes: &[simdepot_domain::carrier::Probe]| -> Vec<(String, ProbeResult)> {
        probes.iter().map(|probe| (probe.what.clone(), probe.result)).collect()
    };
    let expect = |what: &str, result| (what.to_owned(), result);
    let probes = adapter(&stub).probe().await;
    assert_eq!(
        results(&probes),
        [
            expect("credentials", ProbeResult::Ok),
            expect("read device models", ProbeResult::Ok),
            expect("notifications", ProbeResult::Optional),
            expect("assumed settings", ProbeResult::Optional),
        ]
    );
    let assumed = &probes[3].detail;
    for part in [
        "activate (now POST /activate)",
        "terminal_statuses (now Completed)",
        "token_url (now {base_url}/oauth/token)",
    ] {
        assert!(assumed.contains(part), "{assumed}");
    }
    assert!(stub.seen("/activate").is_empty());
    let closed = Stub::start(|_| answer(403, "")).await;
    assert_eq!(results(&adapter(&closed).probe().await)[1].1, ProbeResult::Failed);
    let wrong = Stub::start_bare(|_| answer(401, r#"{"error":"invalid_client"}"#)).await;
    let probes = adapter(&wrong).probe().await;
    assert_eq!(results(&probes), [expect("credentials", ProbeResult::Failed)]);
    assert!(probes[0].detail.contains("invalid_client") && !probes[0].detail.contains("opensesame"));
}

#[tokio::test]
async fn the_adapter_shows_no_secret() {
    let stub = Stub::start(|_| answer(200, ACK)).await;
    let carrier = adapter_with(&stub, |account| account.webhook_secret = Some(Secret::new("SESAME")));
    let shown = format!("{carrier:?}");
    assert!(!shown.contains("opensesame") && !shown.contains("SESAME"), "{shown}");
}
