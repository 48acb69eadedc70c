//! The adapter against a real socket: what is sent, how often, and what is made of silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use simdepot_domain::carrier::{Carrier, EventRefused, LineKey, Placement, ProbeResult, ReadError};
use simdepot_domain::carrier_event::News;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Source;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;

use crate::stub::{Reply, Seen, Stub, TestClock, account, answer, bundle_order, problem};
use crate::wire::order;
use crate::{Exchange, ExchangeAnswer, ExchangeRequest, Failure, LocalTurns, Transatel, TransatelAccount};

const RECEIPT: &str = include_str!("../fixtures/order.json");

fn adapter(stub: &Stub) -> (Transatel, Arc<TestClock>) {
    adapter_with(stub, |_| ())
}

fn adapter_with(stub: &Stub, change: impl FnOnce(&mut TransatelAccount)) -> (Transatel, Arc<TestClock>) {
    let clock = TestClock::new();
    let mut account = account(&stub.base_url);
    change(&mut account);
    (Transatel::new(account, clock.clone(), Arc::new(LocalTurns::default())).unwrap(), clock)
}

fn iccid() -> Iccid {
    Iccid::parse("8988247000000000017").unwrap()
}

fn is_order(seen: &Seen) -> bool {
    seen.target == order::PATH
}

#[tokio::test]
async fn an_order_is_sent_once_with_a_token_fetched_once() {
    let stub = Stub::start(|_| answer(201, RECEIPT)).await;
    let (carrier, clock) = adapter(&stub);
    for _ in 0..3 {
        assert!(matches!(carrier.place_bundle(&bundle_order()).await, Placement::Done(_)));
    }
    let orders = stub.seen(order::PATH);
    assert_eq!(orders.len(), 3);
    assert!(orders.iter().all(|seen| seen.method == "POST" && is_order(seen)));
    assert!(orders[0].head.contains("authorization: bearer token-1"));
    assert!(orders[0].head.contains("user-agent: simdepot/"));
    assert!(orders[0].body.contains(r#""transactionReference":"op_1""#));
    let tokens = stub.seen("/authentication/api/token");
    assert_eq!(tokens.len(), 1);
    assert!(tokens[0].head.contains("authorization: basic"));
    assert_eq!(tokens[0].body, "grant_type=client_credentials");
    clock.advance(3600 * 85 / 100);
    carrier.place_bundle(&bundle_order()).await;
    assert_eq!(stub.seen("/authentication/").len(), 2);
}

#[tokio::test]
async fn callers_at_once_share_one_token() {
    let stub = Stub::start(|_| answer(200, r#"{"products":[]}"#)).await;
    let carrier = Arc::new(adapter(&stub).0);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let carrier = Arc::clone(&carrier);
            tokio::spawn(async move { carrier.products().await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(Vec::new()));
    }
    assert_eq!((stub.seen("/authentication/").len(), stub.seen("/ocs/catalog/").len()), (1, 20));
}

#[tokio::test]
async fn after_a_401_the_token_is_renewed_and_the_order_sent_again_once() {
    let stub = Stub::start(|seen| {
        if seen.head.contains("token-1") { problem(401, "UNAUTHORIZED") } else { answer(201, RECEIPT) }
    })
    .await;
    let (carrier, _) = adapter(&stub);
    assert!(matches!(carrier.place_bundle(&bundle_order()).await, Placement::Done(_)));
    assert_eq!((stub.seen("/authentication/").len(), stub.seen(order::PATH).len()), (2, 2));

    let stub = Stub::start(|_| problem(401, "UNAUTHORIZED")).await;
    let (carrier, _) = adapter(&stub);
    assert!(matches!(carrier.place_bundle(&bundle_order()).await, Placement::NotTaken(_)));
    assert_eq!((stub.seen("/authentication/").len(), stub.seen(order::PATH).len()), (2, 2));
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_the_order_was_sent_once() {
    for reply in [
        || Reply::Drop,
        || Reply::Cut(201),
        || Reply::Cut(400),
        || problem(503, "SERVICE_UNAVAILABLE"),
        || answer(201, "<html>"),
        || Reply::Answer(307, "location: /elsewhere\r\n", String::new()),
    ] {
        let stub = Stub::start(move |_| reply()).await;
        let (carrier, _) = adapter(&stub);
        let placement = carrier.place_bundle(&bundle_order()).await;
        assert!(matches!(placement, Placement::Unknown(_)), "{placement:?}");
        assert_eq!(stub.seen(order::PATH).len(), 1);
        assert!(stub.seen("/elsewhere").is_empty());
    }
}

#[tokio::test]
async fn a_connection_kept_open_and_dropped_with_the_order_on_it_does_not_send_it_twice() {
    let stub =
        Stub::start(|seen| if is_order(seen) { Reply::Drop } else { answer(200, r#"{"products":[]}"#) })
            .await;
    let (carrier, _) = adapter(&stub);
    assert!(carrier.products().await.is_ok(), "leaves an open connection behind");
    assert!(matches!(carrier.place_bundle(&bundle_order()).await, Placement::Unknown(_)));
    assert_eq!(stub.seen(order::PATH).len(), 1);
}

#[tokio::test]
async fn a_connection_that_closed_while_idle_does_no_harm() {
    let stub = Stub::start(|seen| match is_order(seen) {
        true => answer(201, RECEIPT),
        false => Reply::AnswerAndClose(200, r#"{"products":[]}"#.into()),
    })
    .await;
    let (carrier, _) = adapter(&stub);
    assert!(carrier.products().await.is_ok());
    assert!(matches!(carrier.place_bundle(&bundle_order()).await, Placement::Done(_)));
    assert_eq!(stub.seen(order::PATH).len(), 1);
}

#[tokio::test]
async fn silence_is_unknown_for_a_write_and_unavailable_for_a_read() {
    let stub = Stub::start(|_| Reply::Hang).await;
    let (carrier, _) = adapter_with(&stub, |account| account.timeout = Duration::from_millis(400));
    assert!(matches!(carrier.place_bundle(&bundle_order()).await, Placement::Unknown(_)));
    assert_eq!(stub.seen(order::PATH).len(), 1);
    assert!(matches!(carrier.products().await, Err(ReadError::Unavailable(_))));
}

#[tokio::test]
async fn what_surely_did_not_leave_is_not_taken() {
    // Nobody listens: the port was free a moment ago.
    let stub = Stub::start(|_| answer(201, RECEIPT)).await;
    let (carrier, _) = adapter(&stub);
    drop(stub);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let Placement::NotTaken(why) = carrier.place_bundle(&bundle_order()).await else { panic!("not taken") };
    assert!(why.reason.contains("connection refused"), "{why:?}");

    // A token is there, and then nobody listens any more.
    let stub = Stub::start(|_| Reply::AnswerAndClose(200, r#"{"products":[]}"#.into())).await;
    let (carrier, _) = adapter(&stub);
    assert!(carrier.products().await.is_ok());
    drop(stub);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(matches!(carrier.place_bundle(&bundle_order()).await, Placement::NotTaken(_)));

    // No token, for every reason.
    for reply in [
        || Reply::Drop,
        || answer(503, ""),
        || answer(401, r#"{"error":"invalid_client"}"#),
        || answer(200, "{}"),
    ] {
        let stub = Stub::start_bare(move |_| reply()).await;
        let (carrier, _) = adapter(&stub);
        let placement = carrier.place_bundle(&bundle_order()).await;
        assert!(matches!(placement, Placement::NotTaken(_)), "{placement:?}");
        assert!(!format!("{placement:?}").contains("opensesame"));
        assert!(stub.seen(order::PATH).is_empty());
    }
}

#[tokio::test]
async fn an_order_that_waits_for_its_turn_too_long_is_not_sent() {
    let stub = Stub::start(|_| answer(201, RECEIPT)).await;
    let (carrier, _) = adapter_with(&stub, |account| {
        account.timeout = Duration::from_millis(300);
        account.max_requests_per_second = 1;
    });
    // The token takes the only turn of this second.
    assert!(matches!(carrier.place_bundle(&bundle_order()).await, Placement::NotTaken(_)));
    assert!(stub.seen(order::PATH).is_empty());
}

#[tokio::test]
async fn five_failures_give_the_carrier_a_pause() {
    let healthy = Arc::new(AtomicU32::new(0));
    let switch = Arc::clone(&healthy);
    let stub = Stub::start(move |_| match switch.load(Ordering::SeqCst) {
        0 => problem(503, "SERVICE_UNAVAILABLE"),
        _ => answer(201, RECEIPT),
    })
    .await;
    let (carrier, clock) = adapter(&stub);
    for _ in 0..5 {
        assert!(matches!(carrier.place_bundle(&bundle_order()).await, Placement::Unknown(_)));
    }
    let Placement::NotTaken(why) = carrier.place_bundle(&bundle_order()).await else { panic!("not taken") };
    assert_eq!(why.retry_after_ms, Some(5_000));
    assert_eq!(stub.seen(order::PATH).len(), 5);
    healthy.store(1, Ordering::SeqCst);
    clock.advance(5);
    assert!(matches!(carrier.place_bundle(&bundle_order()).await, Placement::Done(_)));
}

#[tokio::test]
async fn the_line_from_the_best_source_that_is_open() {
    let stub = Stub::start(|seen| {
        if seen.target.starts_with("/sim-search/") {
            answer(200, include_str!("../fixtures/sim_search.json"))
        } else {
            problem(403, "INSUFFICIENT_PERMISSION")
        }
    })
    .await;
    let (carrier, clock) = adapter(&stub);
    for _ in 0..2 {
        let line = carrier.line(&LineKey::of(&iccid())).await.unwrap().unwrap();
        assert_eq!((line.source, line.sim_status), (Source::Search, Some(SimStatus::Preactivated)));
    }
    assert_eq!(stub.seen("/connectivity-management/").len(), 1, "remembered as closed");
    let searches = stub.seen("/sim-search/");
    assert_eq!(
        searches[0].target,
        "/sim-search/api/sim/search?page=1&size=10&simSerial=eq%3A8988247000000000017"
    );
    clock.advance(600);
    carrier.line(&LineKey::of(&iccid())).await.unwrap();
    assert_eq!(stub.seen("/connectivity-management/").len(), 2);
}

/// A refusal without a word of the service's own: whether the call is closed is asked where that is documented.
#[tokio::test]
async fn a_bare_refusal_of_the_subscriber_is_told_from_a_closed_one() {
    for (allow, found, remembered) in
        [("allow: OPTIONS\r\n", true, 600), ("allow: GET, OPTIONS\r\n", false, 0), ("", true, 60)]
    {
        let stub = Stub::start(move |seen| match (seen.method.as_str(), allow) {
            _ if seen.target.starts_with("/sim-search/") => {
                answer(200, include_str!("../fixtures/sim_search.json"))
            }
            ("OPTIONS", "") => answer(403, "<html>Request blocked</html>"),
            ("OPTIONS", allow) => Reply::Answer(204, allow, String::new()),
            _ => answer(403, "<html>Request blocked</html>"),
        })
        .await;
        let (carrier, clock) = adapter(&stub);
        let reads =
            || stub.seen("/connectivity-management/").iter().filter(|seen| seen.method == "GET").count();
        for expected in [1, if found { 1 } else { 2 }] {
            match carrier.line(&LineKey::of(&iccid())).await {
                Ok(line) => assert_eq!((found, line.unwrap().source), (true, Source::Search), "{allow}"),
                Err(error) => {
                    assert!(!found && matches!(error, ReadError::Unavailable(_)), "{allow}: {error}");
                    assert!(stub.seen("/sim-search/").is_empty());
                }
            }
            assert_eq!(reads(), expected, "{allow}");
        }
        if found {
            clock.advance(remembered - 1);
            carrier.line(&LineKey::of(&iccid())).await.unwrap();
            assert_eq!(reads(), 1, "{allow}");
            clock.advance(1);
            carrier.line(&LineKey::of(&iccid())).await.unwrap();
            assert_eq!(reads(), 2, "{allow}");
        }
    }
}

#[tokio::test]
async fn a_subscriber_without_a_number_gets_it_from_the_search() {
    let stub = Stub::start(|seen| {
        if seen.target.starts_with("/sim-search/") {
            answer(200, include_str!("../fixtures/sim_search.json"))
        } else {
            answer(200, r#"{"simSerial":"8988247000000000017","status":"Active"}"#)
        }
    })
    .await;
    let (carrier, _) = adapter(&stub);
    let line = carrier.line(&LineKey::of(&iccid())).await.unwrap().unwrap();
    assert_eq!((line.source, line.sim_status), (Source::Read, Some(SimStatus::Active)));
    assert_eq!(line.msisdn.unwrap().as_str(), "33700000001");
}

#[tokio::test]
async fn a_sim_that_neither_knows_is_none_and_a_failed_read_is_an_error() {
    let stub = Stub::start(|seen| {
        if seen.target.starts_with("/sim-search/") {
            answer(200, r#"{"sims":[],"totalPages":0}"#)
        } else {
            answer(400, r#"{"detail":"Invalid SIM serial / SIM card doesn't belong to customer"}"#)
        }
    })
    .await;
    assert_eq!(adapter(&stub).0.line(&LineKey::of(&iccid())).await, Ok(None));

    let stub = Stub::start(|_| problem(503, "SERVICE_UNAVAILABLE")).await;
    let (carrier, _) = adapter(&stub);
    assert!(matches!(carrier.line(&LineKey::of(&iccid())).await, Err(ReadError::Unavailable(_))));
    assert!(
        stub.seen("/sim-search/").is_empty(),
        "a lagging index does not stand in for a record that is down"
    );
    let msisdn = Msisdn::parse("33700000001").unwrap();
    assert!(matches!(carrier.bundles(&msisdn).await, Err(ReadError::Unavailable(_))));
    assert!(matches!(carrier.esim(&iccid()).await, Err(ReadError::Unavailable(_))));
}

#[tokio::test]
async fn a_rate_refusal_says_when_to_come_back() {
    let stub =
        Stub::start(|_| Reply::Answer(429, "retry-after: 7\r\n", r#"{"title":"TOO_MANY_REQUESTS"}"#.into()))
            .await;
    let (carrier, _) = adapter(&stub);
    let Placement::NotTaken(why) = carrier.place_bundle(&bundle_order()).await else { panic!("not taken") };
    assert_eq!(why.retry_after_ms, Some(7_000));
}

#[tokio::test]
async fn a_product_id_cannot_lead_elsewhere() {
    let stub = Stub::start(unknown_products).await;
    let (carrier, _) = adapter(&stub);
    for id in ["", " ", ".", ".."] {
        assert_eq!(carrier.product(id).await, Ok(None), "{id:?}");
    }
    assert!(stub.seen("/").is_empty());
    assert_eq!(carrier.product("../x").await, Ok(None));
    assert_eq!(stub.seen("/ocs/")[0].target, "/ocs/catalog/api/cos/WW_M2MA_COS_SPC/products/..%2Fx");
}

/// The list answers; of every single product the gateway says that it knows no such URL.
fn unknown_products(seen: &Seen) -> Reply {
    if seen.target.ends_with("/products?availabilityStatus=AVAILABLE") {
        answer(200, include_str!("../fixtures/catalogue.json"))
    } else {
        problem(404, "NOT_FOUND")
    }
}

#[tokio::test]
async fn a_gateway_does_not_take_a_product_off_sale() {
    let stub = Stub::start(unknown_products).await;
    let (carrier, _) = adapter(&stub);
    let found = carrier.product("WW_TEST_ALBANIA_1GB_7D").await.unwrap();
    assert_eq!(found.unwrap().product, "WW_TEST_ALBANIA_1GB_7D");
    assert_eq!(carrier.product("WW_NONE").await, Ok(None));
    let stub = Stub::start(|_| problem(404, "PRODUCT_NOT_FOUND")).await;
    assert_eq!(adapter(&stub).0.product("WW_NONE").await, Ok(None));
    assert_eq!(stub.seen("/ocs/").len(), 1, "the service's own word needs no second question");
    let stub = Stub::start(|_| answer(404, "<html>")).await;
    assert!(matches!(adapter(&stub).0.product("WW_NONE").await, Err(ReadError::Unavailable(_))));
}

#[tokio::test]
async fn the_probe_names_what_is_missing() {
    let stub = Stub::start(|seen| {
        let closed = seen.target.starts_with("/connectivity-management/") || is_order(seen);
        match (seen.method.as_str(), closed) {
            ("OPTIONS", true) => Reply::Answer(204, "allow: OPTIONS\r\n", String::new()),
            ("OPTIONS", false) => Reply::Answer(204, "allow: GET\r\nallow: OPTIONS\r\n", String::new()),
            _ => answer(200, include_str!("../fixtures/catalogue.json")),
        }
    })
    .await;
    let probes = adapter(&stub).0.probe().await;
    let results: Vec<(&str, ProbeResult)> =
        probes.iter().map(|probe| (probe.what.as_str(), probe.result)).collect();
    assert_eq!(
        results,
        [
            ("access token", ProbeResult::Ok),
            ("read catalogue", ProbeResult::Ok),
            ("place orders", ProbeResult::Failed),
            ("read inventory", ProbeResult::Ok),
            ("read eSIM details", ProbeResult::Ok),
            ("search SIMs", ProbeResult::Ok),
            ("read subscribers", ProbeResult::Optional),
            ("manage lines", ProbeResult::Optional),
            ("read transactions", ProbeResult::Optional),
            ("class of service", ProbeResult::Ok),
        ]
    );

    let stub = Stub::start(|seen| match seen.method.as_str() {
        "OPTIONS" => Reply::Answer(204, "allow: GET,POST,OPTIONS\r\n", String::new()),
        _ => problem(403, "INSUFFICIENT_PERMISSION"),
    })
    .await;
    let probes = adapter(&stub).0.probe().await;
    let last = probes.last().unwrap();
    assert_eq!(last.result, ProbeResult::Failed);
    assert!(last.detail.contains("check cos"), "{last:?}");

    // Turned away by something on the way: nothing is said of any right.
    let stub = Stub::start(|_| answer(403, "<html>Request blocked</html>")).await;
    let probes = adapter(&stub).0.probe().await;
    for probe in &probes[1..] {
        assert!(probe.detail.contains("HTTP 403") && !probe.detail.contains("ask Transatel"), "{probe:?}");
        assert!(!probe.detail.contains("not a class of service of this account"), "{probe:?}");
    }

    let stub = Stub::start_bare(|_| answer(401, r#"{"error":"invalid_client"}"#)).await;
    let probes = adapter(&stub).0.probe().await;
    assert_eq!((probes.len(), probes[0].result), (1, ProbeResult::Failed));
    assert!(probes[0].detail.contains("invalid_client") && !probes[0].detail.contains("opensesame"));
}

/// Answers without a socket and without a runtime's help.
struct InProcess(std::sync::Mutex<Vec<ExchangeRequest>>);

#[async_trait::async_trait]
impl Exchange for InProcess {
    async fn run(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, Failure> {
        self.0.lock().unwrap().push(request.clone());
        let (status, body) = match request.path.as_str() {
            "/authentication/api/token" => (200, r#"{"access_token":"t","expires_in":3600}"#),
            order::PATH => (201, RECEIPT),
            _ => (200, include_str!("../fixtures/subscriber.json")),
        };
        let headers = vec![("X-TSL-Request-Id".to_owned(), "r-1".to_owned())];
        Ok(ExchangeAnswer { status, headers, body: body.as_bytes().to_vec() })
    }
}

#[tokio::test(start_paused = true)]
async fn works_without_sockets_and_without_waiting() {
    let exchange = Arc::new(InProcess(std::sync::Mutex::default()));
    let account =
        TransatelAccount { max_requests_per_second: u32::MAX, ..account("https://api.transatel.com") };
    let turns = Arc::new(LocalTurns::default());
    let carrier = Transatel::with_exchange(account, TestClock::new(), turns, exchange.clone()).unwrap();
    let started = tokio::time::Instant::now();
    for _ in 0..100 {
        assert!(matches!(carrier.place_bundle(&bundle_order()).await, Placement::Done(_)));
        assert!(carrier.line(&LineKey::of(&iccid())).await.unwrap().is_some());
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    let seen = exchange.0.lock().unwrap();
    assert_eq!(
        (seen[0].method, seen[0].body.as_slice()),
        ("POST", b"grant_type=client_credentials".as_slice())
    );
    assert!(seen[0].headers.contains(&("authorization", "Basic YWNtZTpvcGVuc2VzYW1l".to_owned())));
    assert!(seen[1].headers.contains(&("authorization", "Bearer t".to_owned())));
    let search = seen.iter().find(|seen| seen.path.starts_with("/sim-search/"));
    assert!(search.is_none(), "the subscriber record answered");
    assert!(!format!("{:?}", seen[0]).contains("YWNtZ"));
}

#[tokio::test]
async fn the_fleet_comes_page_by_page_and_a_failed_page_is_an_error() {
    let stub = Stub::start(|seen| {
        if seen.target.contains("page=2&") {
            return problem(503, "SERVICE_UNAVAILABLE");
        }
        answer(200, include_str!("../fixtures/sim_search.json"))
    })
    .await;
    let (carrier, _) = adapter(&stub);
    let page = carrier.fleet(1).await.unwrap();
    assert_eq!((page.lines.len(), page.unreadable, page.pages), (2, 0, 1));
    assert_eq!(stub.seen("/sim-search/")[0].target, "/sim-search/api/sim/search?page=1&size=1000");
    assert!(matches!(carrier.fleet(2).await, Err(ReadError::Unavailable(_))));
}

#[tokio::test]
async fn events_are_checked_with_the_account_s_secret() {
    let stub = Stub::start(|_| answer(200, "{}")).await;
    let (carrier, _) = adapter_with(&stub, |account| account.webhook_secret = Some(Secret::new("Jefe")));
    let signature = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let header = |name: &str| (name == "x-tsl-signature-256").then(|| signature.to_owned());
    assert_eq!(carrier.authenticate(&header, b"what do ya want for nothing?"), Ok(()));
    assert_eq!(carrier.authenticate(&header, b"something else"), Err(EventRefused::Signature));
    assert_eq!(adapter(&stub).0.authenticate(&header, b""), Err(EventRefused::NotConfigured));
    let event = br#"{"header":{"eventId":"e","eventType":"SIM-MANAGEMENT/ESIM/ENABLED"}}"#;
    assert_eq!(carrier.event(event).unwrap().news, News::Esim(EsimStatus::Enabled, None));
    assert!(carrier.event(b"{}").is_err());
    assert!(stub.seen("/").is_empty());
}
