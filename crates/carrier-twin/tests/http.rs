//! The twin over real HTTP: what a client sees, lost answers included.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use simdepot_carrier_twin::{
    CallName, Fault, LineOperation, LineSpec, Script, Twin, TwinConfig, TwinServer, shell,
};

const ORDERS: &str = "/ocs/subscriptions/api/orders/products";
const PRODUCT: &str = "WW_901O_STACK_ONEOFF_ALBANIA_1GB_7D";

struct Harness {
    server: TwinServer,
    client: Client,
    token: String,
    line: LineSpec,
}

impl Harness {
    async fn start() -> Self {
        Self::start_with(TwinConfig::sandbox()).await
    }

    async fn start_with(config: TwinConfig) -> Self {
        // Another test of this binary may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = TwinServer::start(config, "127.0.0.1:0").unwrap();
        let line = server.twin().add_lines(1).remove(0);
        let client = Client::builder().no_proxy().retry(reqwest::retry::never()).build().unwrap();
        let token = client
            .post(format!("{}/authentication/api/token", server.base_url))
            .basic_auth("sandbox", Some("sandbox-secret"))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .unwrap();
        let token = token.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
        Self { server, client, token, line }
    }

    async fn send(&self, method: Method, target: &str, body: Option<Value>) -> reqwest::Result<Response> {
        let request =
            self.client.request(method, format!("{}{target}", self.server.base_url)).bearer_auth(&self.token);
        match body {
            Some(body) => request.json(&body).send().await,
            None => request.send().await,
        }
    }

    async fn order(&self) -> reqwest::Result<Response> {
        let body = json!({
            "bind": {"msisdn": self.line.msisdn()}, "product": {"productId": PRODUCT},
            "payment": {"provider": "customer"}, "source": "api", "orderType": "preload",
            "mvnoRef": "M2MA_WW_TSL_SANDBOX", "transactionReference": "op_1",
        });
        self.send(Method::POST, ORDERS, Some(body)).await
    }

    fn script(&self, call: CallName, fault: Fault) {
        self.server.twin().add_script(Script::once(call, fault));
    }
}

#[tokio::test]
async fn an_order_goes_through_and_shows_in_the_inventory() {
    let harness = Harness::start().await;
    let order = harness.order().await.unwrap();
    assert_eq!(order.status(), 201);
    let order: Value = order.json().await.unwrap();
    let target = format!("/ocs/inventory/api/subscriptions/products?msisdn={}", harness.line.msisdn());
    let inventory: Value = harness.send(Method::GET, &target, None).await.unwrap().json().await.unwrap();
    assert_eq!(inventory["productSubscriptions"][0]["subscriptionId"], order["subscriptionId"]);
    let options = harness.send(Method::OPTIONS, ORDERS, None).await.unwrap();
    assert_eq!(
        (options.status().as_u16(), options.headers()["allow"].to_str().unwrap()),
        (204, "POST,OPTIONS")
    );
    let refused = harness.send(Method::GET, &target.replace("msisdn=", "msisdn=%2B"), None).await.unwrap();
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    harness.server.stop().unwrap();
}

#[tokio::test]
async fn a_dropped_answer_is_a_closed_connection_without_a_status() {
    let harness = Harness::start().await;
    for (fault, taken) in
        [(Fault::DropAfterApply, 1), (Fault::DropBeforeApply, 1), (Fault::DropAfterApply, 2)]
    {
        harness.script(CallName::Order, fault);
        let error = harness.order().await.unwrap_err();
        assert!(
            error.status().is_none() && error.is_request() && !error.is_connect() && !error.is_timeout(),
            "{error:?}"
        );
        assert_eq!(harness.server.twin().orders().len(), taken);
    }
    // One request each: neither the client nor the server repeats an order by itself.
    assert_eq!(harness.server.twin().calls(CallName::Order), 3);
    assert_eq!(harness.order().await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_slow_answer_outlasts_the_clients_patience_although_it_took_effect() {
    let harness = Harness::start().await;
    harness.script(CallName::Order, Fault::Slow { ms: 300 });
    let started = Instant::now();
    assert_eq!(harness.order().await.unwrap().status(), 201);
    assert!(started.elapsed() >= Duration::from_millis(300));

    harness.script(CallName::SimSearch, Fault::Slow { ms: 60_000 });
    let url = format!("{}/sim-search/api/sim/search", harness.server.base_url);
    let impatient = harness.client.get(url).bearer_auth(&harness.token).timeout(Duration::from_millis(200));
    assert!(impatient.send().await.unwrap_err().is_timeout());
    // The twin is not blocked meanwhile.
    assert_eq!(harness.order().await.unwrap().status(), 201);
}

#[tokio::test]
async fn broken_answers_arrive_as_scripted() {
    let harness = Harness::start().await;
    harness.script(CallName::Order, Fault::Garbage);
    let garbage = harness.order().await.unwrap();
    assert_eq!(
        (garbage.status().as_u16(), garbage.headers()["content-type"].to_str().unwrap()),
        (201, "text/html")
    );
    assert!(garbage.json::<Value>().await.is_err());
    harness.script(CallName::Order, Fault::TooMany429 { retry_after: Some(7) });
    let limited = harness.order().await.unwrap();
    assert_eq!((limited.status().as_u16(), limited.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    harness.script(CallName::Any, Fault::Unauthorized401);
    assert_eq!(harness.order().await.unwrap().status(), 401);
}

#[tokio::test]
async fn the_control_api_drives_a_phone_and_hands_out_the_delivery_file() {
    let harness = Harness::start().await;
    harness.order().await.unwrap();
    let line = format!("/_twin/lines/{}", harness.line.iccid);
    for (action, body) in [
        ("download", json!({"eid": "89034011560010000000000000000121"})),
        ("install", json!({})),
        ("enable", json!({})),
        ("attach", json!({"country": "AL"})),
    ] {
        let reply = harness.send(Method::POST, &format!("{line}/{action}"), Some(body)).await.unwrap();
        assert_eq!(reply.status(), 200, "{action}");
    }
    let details = format!("/sim-management/sims/api/esims/sim-serial/{}", harness.line.iccid);
    let details: Value = harness.send(Method::GET, &details, None).await.unwrap().json().await.unwrap();
    assert_eq!(
        (&details["status"], &details["eid"]),
        (&json!("enabled"), &json!("89034011560010000000000000000121"))
    );
    let state: Value = harness.send(Method::GET, &line, None).await.unwrap().json().await.unwrap();
    assert_eq!(state["subscriptions"][0]["status"], "active");

    let file = harness.send(Method::GET, "/_twin/delivery.csv", None).await.unwrap();
    assert_eq!(file.headers()["content-type"], "text/csv; charset=utf-8");
    let file = file.bytes().await.unwrap();
    assert!(
        file.starts_with(b"\xef\xbb\xbfTransatelId;MSISDN;Release;ICCID;Status;PIN;PUK;ActivationCode\r\n")
    );
}

#[tokio::test]
async fn a_line_is_activated_and_suspended() {
    let harness = Harness::start_with(TwinConfig::iot()).await;
    let base = "/connectivity-management/subscribers/api";
    let line = format!("{base}/subscribers/sim-serial/{}", harness.line.iccid);
    let rate_plan = "M2MA_WW_TSL_IOTCONNECT_CAPPED";
    for (operation, status) in [("activate", "Active"), ("suspend", "Suspended")] {
        let body = json!({ "ratePlan": rate_plan, "externalReference": "car-1" });
        let reply = harness.send(Method::POST, &format!("{line}/{operation}"), Some(body)).await.unwrap();
        assert_eq!(reply.status(), 201);
        let accepted: Value = reply.json().await.unwrap();
        assert_eq!(accepted["transactionStatus"], "PENDING");
        let advance = json!({"advance_seconds": 5});
        harness.send(Method::POST, "/_twin/clock", Some(advance)).await.unwrap();
        let path = format!("{base}/transactions/{}", accepted["transactionId"].as_str().unwrap());
        let ended: Value = harness.send(Method::GET, &path, None).await.unwrap().json().await.unwrap();
        assert_eq!(ended["transactionStatus"], "DONE");
        let read: Value = harness.send(Method::GET, &line, None).await.unwrap().json().await.unwrap();
        assert_eq!((&read["status"], &read["externalReference"]), (&json!(status), &json!("car-1")));
    }
    let contact = json!({ "ratePlan": rate_plan, "subscriberInfo": {"lastName": "Byron"} });
    let put = harness.send(Method::PUT, &format!("{line}/contact-info"), Some(contact)).await.unwrap();
    assert_eq!(put.status(), 201);
    harness.script(CallName::LineWrite, Fault::DropAfterApply);
    let body = json!({ "ratePlan": rate_plan });
    assert!(harness.send(Method::POST, &format!("{line}/reactivate"), Some(body)).await.is_err());
    let iccid = harness.line.iccid.as_str();
    assert_eq!(harness.server.twin().line_writes(iccid, LineOperation::Reactivate).accepted, 1);
}

#[tokio::test]
async fn it_stops_and_its_port_is_taken_once() {
    let harness = Harness::start().await;
    let address = harness.server.base_url.trim_start_matches("http://").to_owned();
    assert!(TwinServer::start(TwinConfig::sandbox(), &*address).is_err());
    harness.server.stop().unwrap();
    assert!(std::net::TcpStream::connect(&address).is_err());
    // The connection that the client has kept is gone as well.
    assert!(harness.client.get(format!("http://{address}/_twin/state")).send().await.is_err());
}

#[tokio::test]
async fn it_is_served_inside_a_tokio_runtime_too() {
    let harness = Harness::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/_twin/lines", listener.local_addr().unwrap());
    let twin = Arc::new(Mutex::new(Twin::new(TwinConfig::sandbox())));
    let post = harness.client.post(url).json(&json!({"count": 3})).send();
    tokio::select! {
        ended = shell::serve(Arc::clone(&twin), listener) => panic!("{ended:?}"),
        reply = post => assert_eq!(reply.unwrap().status(), 201),
    }
    assert_eq!(twin.lock().unwrap().lines().count(), 3);
}

#[test]
fn it_starts_without_a_runtime_and_stops_when_dropped() {
    let server = TwinServer::start(TwinConfig::sandbox(), "127.0.0.1:0").unwrap();
    let address = server.base_url.trim_start_matches("http://").to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());
    drop(server);
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < deadline, "still listening");
        std::thread::sleep(Duration::from_millis(20));
    }
}
