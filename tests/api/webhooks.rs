//! Webhooks as their receiver sees them: over a socket, verified by what is not ours.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use simdepot_domain::clock::{Clock as _, SystemClock};
use simdepot_tests::app::{AppOptions, text, unique};
use simdepot_tests::webhooks::{Received, Receiver};
use simdepot_tests::{TestApp, TestDatabase};

use crate::checked::assert_body;
use crate::order;

/// Checks a message by the specification's words: the secret's part behind the prefix is base64, what is signed is
/// `id.timestamp.body`, and one of the signatures must be right.
fn verify(secret: &str, message: &Received) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let header = |name: &str| message.headers[name].as_str();
    let sent: i64 = header("webhook-timestamp").parse().unwrap();
    assert!((SystemClock.now().timestamp() - sent).abs() < 300, "{sent} is out of tolerance");
    let mut signed = format!("{}.{sent}.", header("webhook-id")).into_bytes();
    signed.extend_from_slice(&message.body);
    header("webhook-signature").split(' ').any(|signature| {
        let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(&signed);
        let given = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
        given.is_some_and(|given| mac.verify_slice(&given).is_ok())
    })
}

/// The Python of scripts/python-tools, when somebody has made it and it has the reference library.
fn python() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../target").into(), PathBuf::from);
    let folders = std::fs::read_dir(target).ok()?.filter_map(Result::ok);
    folders
        .filter(|folder| folder.file_name().to_string_lossy().starts_with("python-tools-"))
        .map(|folder| folder.path().join("bin/python"))
        .find(|python| {
            let mut import = Command::new(python);
            import.args(["-c", "import standardwebhooks"]).stderr(Stdio::null());
            import.status().is_ok_and(|status| status.success())
        })
}

/// What the reference library says of a message.
fn verify_by_the_reference_library(python: &PathBuf, secret: &str, message: &Received) -> bool {
    const PROGRAM: &str = "import sys, json\n\
        from standardwebhooks.webhooks import Webhook\n\
        given = json.load(sys.stdin)\n\
        Webhook(given['secret']).verify(given['body'], given['headers'])\n";
    let body = String::from_utf8(message.body.clone()).unwrap();
    let given = json!({"secret": secret, "headers": message.headers, "body": body}).to_string();
    let mut running = Command::new(python)
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut running.stdin.take().unwrap(), given.as_bytes()).unwrap();
    running.wait().unwrap().success()
}

async fn new_endpoint(app: &TestApp, url: &str, types: &[&str]) -> (String, String) {
    let body = json!({"url": url, "types": types});
    let made = app.post("/v1/webhook-endpoints", &body).send().await.expect_status(201).json();
    (format!("/v1/webhook-endpoints/{}", text(&made, "/id")), text(&made, "/secret"))
}

fn body_of(message: &Received) -> Json {
    serde_json::from_slice(&message.body).unwrap()
}

#[tokio::test]
async fn events_arrive_signed() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.deliver(1).await;
    let (path, secret) = new_endpoint(&app, &receiver.url, &["order.*", "bundle.*"]).await;
    let reference = unique("order");
    app.post("/v1/orders", &order(&reference, &app.pool, 1)).send().await.expect_status(201);
    let is_ours = |message: &Received| body_of(message)["data"]["data"]["reference"] == json!(reference);
    let got = receiver.wait_for(|got| got.len() >= 2 && got.iter().any(is_ours)).await;
    for message in &got {
        assert!(message.line.starts_with("POST /hook HTTP/1.1"), "{message:?}");
        assert_eq!(message.headers["content-type"], "application/json");
        assert!(message.headers["user-agent"].starts_with("simdepot/"));
        assert_eq!(message.headers["webhook-id"], text(&body_of(message), "/data/id"));
        assert!(message.body.len() < 20_000);
    }
    let mut made = got.iter().find(|message| is_ours(message)).map(body_of).unwrap();
    assert!(made["data"]["seq"].as_i64().is_some_and(|seq| seq > 0));
    made["data"]["seq"] = json!("[seq]");
    assert_body!(&app, "webhook_body", &made);
    assert!(got.iter().all(|message| verify(&secret, message)));
    let mut forged = got[0].clone();
    forged.body.push(b' ');
    assert!(!verify(&secret, &forged));
    if let Some(python) = python() {
        assert!(got.iter().all(|message| verify_by_the_reference_library(&python, &secret, message)));
        assert!(!verify_by_the_reference_library(&python, &secret, &forged));
    }
    // While two secrets are in force, a receiver with either of them is content.
    let rotated = app.post(&format!("{path}/rotate-secret"), &json!({})).send().await.expect_status(200);
    let new = text(&rotated.json(), "/secret");
    let event = text(&body_of(&got[0]), "/data/id");
    let replay = app.post(&format!("{path}/replay"), &json!({"event_id": event}));
    assert_eq!(replay.send().await.expect_status(202).json(), json!({"deliveries": 1}));
    let id = |message: &Received| message.headers["webhook-id"].clone();
    let twice = |all: &[Received]| all.iter().filter(|message| id(message) == id(&got[0])).count() == 2;
    let all = receiver.wait_for(twice).await;
    let again = all.iter().rfind(|message| id(message) == id(&got[0])).unwrap();
    assert!(verify(&secret, again) && verify(&new, again));
    assert_eq!(again.body, got[0].body);
    app.delete(&path).send().await.expect_status(204);
    app.finish().await;
}

#[tokio::test]
async fn the_log_tells_what_became_of_them() {
    // Of a deployment that others use as well, the log would tell of their orders too.
    let Some(app) = TestApp::in_process(TestDatabase::sqlite(), AppOptions::default()).await else { return };
    let receiver = Receiver::start().await;
    app.deliver(1).await;
    let (path, _) = new_endpoint(&app, &receiver.url, &["order.created"]).await;
    receiver.answer(307);
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
    receiver.wait_for(|got| !got.is_empty()).await;
    let log = format!("{path}/deliveries");
    let tried = |page: &Json| page["data"][0]["attempts"].as_u64().is_some_and(|attempts| attempts > 0);
    let waiting = app.wait_until(&log, tried).await;
    let mut entry = waiting["data"][0].clone();
    entry["seq"] = json!("[seq]");
    assert_body!(&app, "webhook_delivery", &entry);
    // The first pause is five seconds.
    receiver.answer(200);
    let delivered = format!("{log}?status=delivered");
    let page = app.wait_until(&delivered, |page| page["data"][0].is_object()).await;
    assert_eq!((&page["data"][0]["attempts"], &page["data"][0]["last_status"]), (&json!(2), &json!(200)));
    assert_eq!(app.get(&format!("{log}?status=failed")).send().await.json()["data"], json!([]));
    receiver.answer(410);
    let replay = json!({"event_id": page["data"][0]["event_id"]});
    app.post(&format!("{path}/replay"), &replay).send().await.expect_status(202);
    let gone = app.wait_until(&path, |endpoint| endpoint["status"] == "disabled").await;
    assert_eq!(gone["disabled_reason"], "the endpoint answered 410: it is gone");
    let first = app.get(&format!("{log}?limit=1")).send().await.expect_status(200).json();
    let next = format!("{log}?limit=1&cursor={}", text(&first, "/next_cursor"));
    let second = app.get(&next).send().await.expect_status(200).json();
    assert_eq!((&first["data"][0]["replay"], &second["data"][0]["replay"]), (&json!(true), &json!(false)));
    assert_eq!(second["next_cursor"], Json::Null);
    app.delete(&path).send().await.expect_status(204);
    app.finish().await;
}
