//! The SPS twin over real HTTP: acknowledgement, notification, lost answers, settings.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use simdepot_carrier_twin::sps::{Effect, SpsConfig, SpsTransactionStatus, SpsTwin, WebhookAuth};
use simdepot_carrier_twin::{CallName, Fault, Script, TwinServer, Webhook};
use simdepot_domain::secret::Secret;

const PATIENCE: Duration = Duration::from_secs(20);

struct Harness {
    server: TwinServer<SpsTwin>,
    client: Client,
    token: String,
    iccid: String,
}

impl Harness {
    async fn start(config: SpsConfig) -> Self {
        // Another test of this binary may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let token_path = config.token_path.clone();
        let server = TwinServer::start_with(SpsTwin::new(config), "127.0.0.1:0").unwrap();
        let iccid = server.twin().add_sims(1).remove(0).iccid.as_str().to_owned();
        let client = Client::builder().no_proxy().retry(reqwest::retry::never()).build().unwrap();
        let token = client
            .post(format!("{}{token_path}", server.base_url))
            .basic_auth("sandbox", Some("sandbox-secret"))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .unwrap();
        let token = token.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
        Self { server, client, token, iccid }
    }

    async fn send(&self, method: Method, target: &str, body: Option<Value>) -> reqwest::Result<Response> {
        let request =
            self.client.request(method, format!("{}{target}", self.server.base_url)).bearer_auth(&self.token);
        match body {
            Some(body) => request.json(&body).send().await,
            None => request.send().await,
        }
    }

    async fn activate(&self, path: &str) -> reqwest::Result<Response> {
        let body = json!({
            "partnerTransactionId": "op_1", "subscriberId": "Sub001", "wholesalePlanId": "Plan001",
            "location": {"zip": "80202"}, "iccid": self.iccid,
        });
        self.send(Method::POST, path, Some(body)).await
    }

    async fn pass(&self, seconds: u64) {
        let reply = self.send(Method::POST, "/_twin/clock", Some(json!({"advance_seconds": seconds}))).await;
        assert_eq!(reply.unwrap().status(), 200);
    }

    async fn read(&self, target: &str) -> Value {
        self.send(Method::GET, target, None).await.unwrap().json().await.unwrap()
    }
}

/// A receiver of notifications that answers 204: the header of this name, and the body.
fn receiver(header: &'static str) -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/carrier-events/us", listener.local_addr().unwrap());
    let (sender, received) = channel();
    // Ends with the process: it waits for connections that no longer come.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let (mut shown, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                let Some((name, value)) = line.trim().split_once(": ") else { continue };
                if name.eq_ignore_ascii_case(header) {
                    value.clone_into(&mut shown);
                } else if name.eq_ignore_ascii_case("content-length") {
                    length = value.parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let _ = sender.send((shown, body));
            let _ = write!(stream, "HTTP/1.1 204 X\r\nconnection: close\r\n\r\n");
        }
    });
    (url, received)
}

#[tokio::test]
async fn an_activation_is_acknowledged_carried_out_and_told() {
    let harness = Harness::start(SpsConfig::sandbox()).await;
    let (url, received) = receiver("x-signature-256");
    let hook = json!({"url": url, "secret": "opensesame"});
    assert_eq!(harness.send(Method::PUT, "/_twin/webhook", Some(hook)).await.unwrap().status(), 200);

    let reply = harness.activate("/activate").await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.json::<Value>().await.unwrap()["status"], "Success");
    assert_eq!(harness.read("/transaction/status/op_1").await["status"], "InProgress");
    harness.pass(2).await;

    // The courier fetches it without another request.
    let (signature, body) = received.recv_timeout(PATIENCE).unwrap();
    let webhook = Webhook::new(&url, Secret::new("opensesame")).unwrap();
    assert_eq!(signature, webhook.signature(&body));
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&told["partnerTransactionId"], &told["status"]), (&json!("op_1"), &json!("Completed")));
    assert!(told["eSim"]["activationCode"].as_str().unwrap().starts_with("LPA:1$smdp.twin.example$"));

    assert_eq!(harness.read("/transaction/status/op_1").await["status"], "Completed");
    let gpsi = told["subscription"]["gpsi"].as_str().unwrap();
    let details = harness.read(&format!("/deviceDetails?gpsi={gpsi}")).await;
    assert_eq!((&details["iccid"], &details["deviceStatus"]), (&json!(harness.iccid), &json!("Active")));
    harness.server.stop().unwrap();
}

#[tokio::test]
async fn a_lost_acknowledgement_is_asked_for_again_without_a_second_effect() {
    let harness = Harness::start(SpsConfig::sandbox()).await;
    for (fault, taken) in [(Fault::DropBeforeApply, 0), (Fault::DropAfterApply, 1)] {
        harness.server.twin().add_script(Script::once(CallName::Activate, fault));
        assert!(harness.activate("/activate").await.unwrap_err().status().is_none());
        assert_eq!(harness.server.twin().transactions().len(), taken);
    }
    assert_eq!(harness.activate("/activate").await.unwrap().status(), 200);
    harness.pass(2).await;
    let twin = harness.server.twin();
    assert_eq!((twin.received_as("op_1").count(), twin.effects(&harness.iccid, Effect::Activate)), (3, 1));
    assert_eq!(twin.transaction("op_1").unwrap().status, SpsTransactionStatus::Completed);
}

#[tokio::test]
async fn routes_token_path_and_webhook_header_are_settings() {
    let (url, received) = receiver("authorization");
    let config = SpsConfig {
        token_path: "/token".to_owned(),
        activate: "PUT /v5/subscription/activate".parse().unwrap(),
        webhook: Some(Webhook::new(&url, Secret::new("opensesame")).unwrap()),
        webhook_auth: WebhookAuth::Bearer,
        ..SpsConfig::sandbox()
    };
    let harness = Harness::start(config).await;
    assert_eq!(harness.activate("/v5/subscription/activate").await.unwrap().status(), 405);
    let body = json!({"partnerTransactionId": "op_2", "subscriberId": "S", "wholesalePlanId": "P", "location": {},
        "iccid": harness.iccid});
    let reply = harness.send(Method::PUT, "/v5/subscription/activate", Some(body)).await.unwrap();
    assert_eq!(reply.status(), 200);
    harness.pass(2).await;
    assert_eq!(received.recv_timeout(PATIENCE).unwrap().0, "Bearer opensesame");
}
