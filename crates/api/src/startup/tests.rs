//! The layers together, around the served routes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use actix_web::http::header;
use actix_web::test::{TestRequest, call_service, init_service, read_body, read_body_json};
use secrecy::SecretString;
use serde_json::Value;
use simdepot_application::{Accounts, api_keys};
use simdepot_domain::clock::SystemClock;
use simdepot_domain::id::RandomIds;
use simdepot_persistence::Store;
use simdepot_persistence::store::StoreOptions;
use simdepot_persistence::vault::{WrappingKey, WrappingKeys};
use tempfile::TempDir;

use super::*;
use crate::sandbox::SANDBOX_KEY;

const KEY: &str = "sd_test_startup_0123456789abcdefghijklmnop";
const LOCAL: &str = "127.0.0.1:4000";

async fn depot(folder: &TempDir) -> Depot {
    let url = format!("sqlite://{}/depot.db", folder.path().display()).parse().unwrap();
    let keys = WrappingKeys { current: WrappingKey::from_bytes([7; 32]), previous: None };
    let options = StoreOptions { url, pool_size: 2, migrate: true, keys, turnstile: None };
    let store = Store::open(options, Arc::new(SystemClock)).unwrap();
    let depot = Depot::new(store, Arc::new(SystemClock), Arc::new(RandomIds), Accounts::new());
    for key in [KEY, SANDBOX_KEY] {
        api_keys::ensure_bootstrap(&depot, &SecretString::from(key)).await.unwrap();
    }
    depot
}

async fn state(folder: &TempDir, settings: ApiSettings) -> web::Data<AppState> {
    web::Data::new(AppState::new(depot(folder).await, settings, metrics::handle()))
}

/// A macro, because the service's request type has no name outside actix-http.
macro_rules! served {
    ($state:expr) => {
        init_service(app($state, Arc::new(Unrouted::of_document(&crate::openapi::document())))).await
    };
}

fn get(path: &str, key: Option<&str>, peer: &str) -> TestRequest {
    let request = TestRequest::get().uri(path).peer_addr(peer.parse::<SocketAddr>().unwrap());
    match key {
        Some(key) => request.insert_header((header::AUTHORIZATION, format!("Bearer {key}"))),
        None => request,
    }
}

#[actix_web::test]
async fn only_keys_that_work_are_let_in() {
    let folder = TempDir::new().unwrap();
    let app = served!(state(&folder, ApiSettings::default()).await);
    for path in ["/v1/pools", "/%761/pools", "/v1/nothing"] {
        for key in [None, Some("sd_test_wrong")] {
            let answer = call_service(&app, get(path, key, LOCAL).to_request()).await;
            assert_eq!(answer.status().as_u16(), 401, "{path} {key:?}");
            assert_eq!(answer.headers().get(header::WWW_AUTHENTICATE).unwrap(), "Bearer");
            let body: Value = read_body_json(answer).await;
            assert_eq!(body["code"], "unauthenticated");
            assert!(body["request_id"].is_string());
        }
    }
    for path in ["/v1/pools", "/%761/pools"] {
        assert_eq!(
            call_service(&app, get(path, Some(KEY), LOCAL).to_request()).await.status().as_u16(),
            200,
            "{path}"
        );
    }
}

#[actix_web::test]
async fn the_sandboxs_key_opens_a_sandbox_from_the_same_machine() {
    let folder = TempDir::new().unwrap();
    let depot = depot(&folder).await;
    for (sandbox, peer, status) in [(true, LOCAL, 200), (true, "10.0.0.9:4000", 401), (false, LOCAL, 401)] {
        let settings = ApiSettings { sandbox, ..ApiSettings::default() };
        let state = web::Data::new(AppState::new(depot.clone(), settings, metrics::handle()));
        let app = served!(state);
        let answer = call_service(&app, get("/v1/pools", Some(SANDBOX_KEY), peer).to_request()).await;
        assert_eq!(answer.status().as_u16(), status, "{sandbox} {peer}");
    }
}

#[actix_web::test]
async fn a_wrong_method_is_told_from_a_wrong_path() {
    let folder = TempDir::new().unwrap();
    let app = served!(state(&folder, ApiSettings::default()).await);
    let with_key = || TestRequest::delete().insert_header((header::AUTHORIZATION, format!("Bearer {KEY}")));
    let answer = call_service(&app, with_key().uri("/v1/orders").to_request()).await;
    assert_eq!(answer.status().as_u16(), 405);
    assert_eq!(answer.headers().get(header::ALLOW).unwrap(), "GET, HEAD, POST");
    let body: Value = read_body_json(answer).await;
    assert_eq!(body["code"], "method-not-allowed");
    let answer = call_service(&app, with_key().uri("/v1/nothing").to_request()).await;
    assert_eq!(answer.status().as_u16(), 404);
    assert_eq!(
        call_service(&app, TestRequest::post().uri("/livez").to_request()).await.status().as_u16(),
        405
    );
}

#[actix_web::test]
async fn a_key_has_its_rate_and_an_address_its_own() {
    let folder = TempDir::new().unwrap();
    let settings = ApiSettings { rate_limit: Some(1), ..ApiSettings::default() };
    let app = served!(state(&folder, settings).await);
    for _ in 0..10 {
        assert_eq!(
            call_service(&app, get("/v1/pools", Some(KEY), LOCAL).to_request()).await.status().as_u16(),
            200
        );
        assert_eq!(
            call_service(&app, get("/v1/pools", None, LOCAL).to_request()).await.status().as_u16(),
            401
        );
    }
    for key in [Some(KEY), None] {
        let answer = call_service(&app, get("/v1/pools", key, LOCAL).to_request()).await;
        assert_eq!(answer.status().as_u16(), 429);
        assert_eq!(answer.headers().get(header::RETRY_AFTER).unwrap(), "1");
        let body: Value = read_body_json(answer).await;
        assert_eq!((&body["code"], &body["retryable"]), (&"rate-limited".into(), &true.into()));
    }
    assert_eq!(
        call_service(&app, get("/readyz", None, LOCAL).to_request()).await.status().as_u16(),
        200,
        "exempt"
    );
}

#[actix_web::test]
async fn health_and_metrics_are_open() {
    let folder = TempDir::new().unwrap();
    let app = served!(state(&folder, ApiSettings::default()).await);
    for path in ["/livez", "/readyz"] {
        let body: Value = read_body_json(call_service(&app, get(path, None, LOCAL).to_request()).await).await;
        assert_eq!(body, serde_json::json!({"status": "ok"}));
    }
    call_service(&app, get("/v1/profiles/8988247000000000013", Some(KEY), LOCAL).to_request()).await;
    let answer = call_service(&app, get("/metrics", None, LOCAL).to_request()).await;
    assert_eq!(
        answer.headers().get(header::CONTENT_TYPE).unwrap(),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = String::from_utf8(read_body(answer).await.to_vec()).unwrap();
    assert!(text.contains("route=\"/v1/profiles/{iccid}\"") && text.contains("status=\"404\""), "{text}");
    assert!(!text.contains("8988247000000000013"), "paths are no labels");
}

#[actix_web::test]
async fn the_last_use_of_a_key_is_noted() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder, ApiSettings::default()).await;
    let app = served!(state.clone());
    call_service(&app, get("/v1/pools", Some(KEY), LOCAL).to_request()).await;
    state.key_use.flush(&state.depot).await.unwrap();
    let keys = api_keys::list(&state.depot, None, 10).await.unwrap();
    assert_eq!(keys.iter().filter(|key| key.last_used_at.is_some()).count(), 1);
}

fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_starts_and_stops() {
    let folder = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = ApplicationOptions {
        depot: depot(&folder).await,
        settings: ApiSettings::default(),
        listener,
        workers: 1,
    };
    let application = Application::start(options).unwrap();
    assert_eq!(application.state.settings.public_url, application.base_url);
    let address = application.base_url.strip_prefix("http://").unwrap().to_owned();
    let asked = address.clone();
    let answer = tokio::task::spawn_blocking(move || ask(&asked, "/readyz")).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.to_lowercase().contains("x-request-id: "), "{answer}");
    application.stop().await.unwrap();
    assert!(TcpStream::connect(&address).is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_place_for_uploads_is_needed_at_start() {
    let folder = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let settings = ApiSettings { spool_dir: file.join("spool"), ..ApiSettings::default() };
    let depot = depot(&folder).await;
    let error = Application::start(ApplicationOptions { depot, settings, listener, workers: 0 }).unwrap_err();
    assert!(error.to_string().starts_with("uploads cannot be kept in "), "{error}");
}
