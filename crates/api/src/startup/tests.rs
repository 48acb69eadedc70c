//! The layers together, around the served routes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::http::header;
use actix_web::test::{TestRequest, call_service, init_service, read_body, read_body_json};
use secrecy::SecretString;
use serde_json::Value;
use simdepot_application::{Accounts, api_keys, feed, key_rotation};
use simdepot_domain::clock::SystemClock;
use simdepot_domain::id::RandomIds;
use simdepot_persistence::Store;
use simdepot_persistence::store::{StoreOptions, Turnstile};
use simdepot_persistence::vault::{WrappingKey, WrappingKeys};
use tempfile::TempDir;

use super::*;
use crate::sandbox::SANDBOX_KEY;

const KEY: &str = "sd_test_startup_0123456789abcdefghijklmnop";
const LOCAL: &str = "127.0.0.1:4000";

async fn depot(folder: &TempDir) -> Depot {
    depot_with(folder, None).await
}

async fn depot_with(folder: &TempDir, turnstile: Option<Arc<dyn Turnstile>>) -> Depot {
    let url = format!("sqlite://{}/depot.db", folder.path().display()).parse().unwrap();
    let keys = WrappingKeys { current: WrappingKey::from_bytes([7; 32]), previous: None };
    let options = StoreOptions { url, pool_size: 2, migrate: true, keys, turnstile };
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
        init_service(app($state, Arc::new(Served::of_document(&crate::openapi::document()).unwrap()))).await
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
    for request in 0..10 {
        assert_eq!(
            call_service(&app, get("/v1/pools", Some(KEY), LOCAL).to_request()).await.status().as_u16(),
            200
        );
        // The first use of the key has taken one of the address's.
        if request > 0 {
            assert_eq!(
                call_service(&app, get("/v1/pools", None, LOCAL).to_request()).await.status().as_u16(),
                401
            );
        }
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

/// Counts units of work.
#[derive(Default)]
struct Counted(AtomicUsize);

#[async_trait::async_trait]
impl Turnstile for Counted {
    async fn pass(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counted {
    /// Units of work since the last call: each passes on its way in and on its way out.
    fn units(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst) / 2
    }
}

/// Made-up keys are refused before the database is asked, once their address has nothing left; a key that has worked
/// goes on from the same address.
#[actix_web::test]
async fn made_up_keys_reach_the_database_at_the_rate_alone() {
    const ELSEWHERE: &str = "192.0.2.7:4000";
    let folder = TempDir::new().unwrap();
    let settings = ApiSettings { rate_limit: Some(1), ..ApiSettings::default() };
    let counted = Arc::new(Counted::default());
    let depot = depot_with(&folder, Some(counted.clone())).await;
    let state = web::Data::new(AppState::new(depot.clone(), settings, metrics::handle()));
    let app = served!(state.clone());
    let status = async |key: &str, peer: &str| {
        call_service(&app, get("/v1/nothing", Some(key), peer).to_request()).await.status().as_u16()
    };
    counted.units();
    assert_eq!((status(KEY, LOCAL).await, counted.units()), (404, 1));
    let made_up = |number: usize| format!("made-up-key-that-is-long-enough-{number}");
    for number in 0..9 {
        assert_eq!((status(&made_up(number), LOCAL).await, counted.units()), (401, 1));
    }
    for number in 9..30 {
        assert_eq!((status(&made_up(number), LOCAL).await, counted.units()), (429, 0));
    }
    assert_eq!((status(KEY, LOCAL).await, counted.units()), (404, 1), "it has worked before");
    // What cannot be a key is not looked up at all.
    for bad in ["short".to_owned(), format!("sd_live_{}", "0".repeat(72))] {
        assert_eq!((status(&bad, ELSEWHERE).await, counted.units()), (401, 0));
    }
    // A key that is revoked is a made-up one from then on.
    for key in api_keys::list(&depot, None, 10).await.unwrap() {
        api_keys::revoke(&depot, key.id).await.unwrap();
    }
    counted.units();
    assert_eq!((status(KEY, ELSEWHERE).await, counted.units()), (401, 1));
    assert_eq!((status(KEY, LOCAL).await, counted.units()), (429, 0));
}

/// Headers and a part of the body, and what is answered until the connection ends.
fn begin(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    write!(stream, "{request}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Who is anonymous is answered before his body has come, and not listened to any longer.
#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_body_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let depot = depot(&folder).await;
    let options = ApplicationOptions { depot, settings: ApiSettings::default(), listener, workers: 1 };
    let application = Application::start(options).unwrap();
    let address = application.base_url.strip_prefix("http://").unwrap().to_owned();
    for (path, status) in [("/carrier-events/nobody", "404"), ("/v1/orders", "401")] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
        );
        let address = address.clone();
        let answer = tokio::task::spawn_blocking(move || begin(&address, &request)).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    application.stop().await.unwrap();
}

/// A reader that waits for news is answered when the server stops, and the stop does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_those_who_wait() {
    let folder = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let depot = depot(&folder).await;
    let after = feed::read(&depot, 0, 200, Duration::ZERO).await.unwrap().len();
    let options = ApplicationOptions { depot, settings: ApiSettings::default(), listener, workers: 1 };
    let application = Application::start(options).unwrap();
    let address = application.base_url.strip_prefix("http://").unwrap().to_owned();
    let request = format!(
        "GET /v1/events?after={after} HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    );
    let waiting = tokio::task::spawn_blocking(move || begin(&address, &request));
    // Until it waits: the use of its key is noted before that.
    while application.state.key_use.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stopping = std::time::Instant::now();
    application.stop().await.unwrap();
    let answer = waiting.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("{\"data\":[],\"next_cursor\":null}"), "{answer}");
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
}

/// Nothing is read any more on behalf of a client that has gone away.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_gone_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let depot = depot(&folder).await;
    let after = feed::read(&depot, 0, 200, Duration::ZERO).await.unwrap().len();
    let options = ApplicationOptions { depot, settings: ApiSettings::default(), listener, workers: 1 };
    let application = Application::start(options).unwrap();
    let address = application.base_url.strip_prefix("http://").unwrap().to_owned();
    let begin = || {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "GET /v1/events?after={after} HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\nAuthorization: Bearer {KEY}\r\n\r\n"
        )
        .unwrap();
        stream
    };
    let asked = address.clone();
    tokio::task::spawn_blocking(move || ask(&asked, "/livez")).await.unwrap();
    // Each request at work holds the state.
    let held = || Arc::strong_count(&application.state);
    let idle = held();
    let waiting: Vec<TcpStream> = (0..8).map(|_| begin()).collect();
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while held() < idle + 8 {
        assert!(std::time::Instant::now() < patience, "the requests wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let busy = held();
    drop(waiting);
    while held() + 8 > busy {
        assert!(std::time::Instant::now() < patience, "{} held, {busy} while they waited", held());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    application.stop().await.unwrap();
}

/// A rotation that is not at its end is told where supervision looks.
#[actix_web::test]
async fn readiness_tells_of_keys_that_are_not_rotated() {
    let folder = TempDir::new().unwrap();
    let old = depot(&folder).await;
    let url = format!("sqlite://{}/depot.db", folder.path().display()).parse().unwrap();
    let previous = Some(WrappingKey::from_bytes([7; 32]));
    let keys = WrappingKeys { current: WrappingKey::from_bytes([8; 32]), previous };
    let options = StoreOptions { url, pool_size: 2, migrate: true, keys, turnstile: None };
    let store = Store::open(options, Arc::new(SystemClock)).unwrap();
    let depot = Depot::new(store, Arc::new(SystemClock), Arc::new(RandomIds), Accounts::new());
    let state = web::Data::new(AppState::new(depot.clone(), ApiSettings::default(), metrics::handle()));
    let app = served!(state);
    let ready = async || -> Value {
        read_body_json(call_service(&app, get("/readyz", None, LOCAL).to_request()).await).await
    };
    let warning = "1 of 1 keys are still wrapped with SIMDEPOT_ENCRYPTION_KEY_PREVIOUS: run simdepot keys \
                   rotate-encryption";
    assert_eq!(ready().await, serde_json::json!({"status": "ok", "warnings": [warning]}));
    key_rotation::watch(&depot).await.unwrap();
    key_rotation::rotate(&depot, &|_, _| ()).await.unwrap();
    assert_eq!(ready().await, serde_json::json!({"status": "ok"}));
    // A process that was not given the new key says so, and goes on with what it has opened.
    let missing = key_rotation::watch(&old).await.unwrap_err().to_string();
    assert!(missing.contains("1 of the 1 keys"), "{missing}");
    let app = served!(web::Data::new(AppState::new(old, ApiSettings::default(), metrics::handle())));
    let answer = call_service(&app, get("/readyz", None, LOCAL).to_request()).await;
    assert_eq!(answer.status().as_u16(), 200);
    let body: Value = read_body_json(answer).await;
    assert!(body["warnings"][0].as_str().unwrap().contains("which was not given"), "{body}");
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
