//! simdepot as its clients see it: over HTTP alone.
//!
//! By default [`TestApp`] runs the whole application in this process, on a free port, with a database and a carrier
//! twin of its own. With `SIMDEPOT_BASE_URL` it talks to a running deployment instead:
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `SIMDEPOT_BASE_URL` | where the deployment is reached | none: in process |
//! | `SIMDEPOT_API_KEY` | one of its keys with every scope, of the channel `default` | the sandbox's |
//! | `SIMDEPOT_CARRIER_ACCOUNT` | the carrier account that test pools are made in | `sandbox` |
//! | `SIMDEPOT_TWIN_URL` | the carrier twin behind that account | none: tests that need it are left out |
//!
//! Each test works in a pool of its own with names of its own, so that tests can share a deployment. Every answer is
//! held against the OpenAPI document ([`Contract`]).

mod ask;
mod contract;
mod schema;
mod stock;
mod twin;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method};
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use simdepot_api::courier::HttpCourier;
use simdepot_api::startup::{Application, ApplicationOptions};
use simdepot_api::state::ApiSettings;
use simdepot_application::depot::{Account, Depot};
use simdepot_application::turns::SharedTurns;
use simdepot_application::{api_keys, verify};
use simdepot_carrier_transatel::Transatel;
use simdepot_carrier_twin::{TwinConfig, TwinServer};
use simdepot_domain::carrier::Carrier;
use simdepot_domain::channel::AccountName;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::id::{IdGenerator as _, RandomIds};
use simdepot_domain::webhook::Targets;
use tempfile::TempDir;

use crate::database::TestDatabase;
use crate::depot::{ACCOUNT, account_at};

pub use ask::{Answer, Ask};
pub use contract::Contract;
pub use stock::{DELIVERY_HEADER, TestLine, delivery_file};
pub use twin::TwinControl;

/// How long one call of the adapter to the twin may take.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a test waits for background work.
const PATIENCE: Duration = Duration::from_secs(30);

/// Puts something between the application and its carrier.
pub type WrapCarrier = fn(Arc<dyn Carrier>) -> Arc<dyn Carrier>;

/// How an application in this process is made.
#[derive(Debug, Default)]
pub struct AppOptions {
    /// Requests per second and key; `None` for no limit.
    pub rate_limit: Option<u32>,
    /// Most bytes of an upload, when it matters.
    pub max_upload_bytes: Option<u64>,
    /// Where webhooks may go; as in a trial when absent.
    pub webhook_targets: Option<Targets>,
    /// Stands between the application and its carrier.
    pub wrap_carrier: Option<WrapCarrier>,
}

/// An application to talk to. End a test with [`TestApp::finish`].
pub struct TestApp {
    /// Where it is reached, without a slash at the end.
    pub base_url: String,
    /// A key with every scope, of the channel `default`.
    pub key: String,
    /// The carrier account of this test's pools.
    pub account: String,
    /// This test's pool, empty at first.
    pub pool: String,
    client: Client,
    twin: Option<TwinControl>,
    here: Option<Here>,
    finished: bool,
}

/// What runs in this process.
struct Here {
    application: Option<Application>,
    depot: Depot,
    // The last two go with the value, after the depot.
    _twin: TwinServer,
    db: TestDatabase,
    spool: TempDir,
}

impl std::fmt::Debug for TestApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestApp").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// A name that no other test has, for references, channels, pools and keys.
pub fn unique(name: &str) -> String {
    let id = RandomIds.uuid().simple().to_string();
    // The last characters of a UUIDv7 are random.
    format!("{name}-{}", id.get(12..).unwrap_or(&id))
}

/// The URL of the deployment under test, if it is one.
pub fn deployment() -> Option<String> {
    let url = std::env::var("SIMDEPOT_BASE_URL").ok().filter(|url| !url.is_empty())?;
    Some(url.trim_end_matches('/').to_owned())
}

/// Says that a test was left out; returns nothing to go on with.
fn left_out(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Written to the stream itself: the test runner captures what `eprintln!` says in a test that passes.
    let _ =
        std::io::Write::write_all(&mut std::io::stderr(), format!("left out: {test}: {why}\n").as_bytes());
}

impl TestApp {
    /// The deployment under test, or an application in this process on SQLite.
    ///
    /// # Panics
    /// When it cannot be reached or started.
    pub async fn start() -> Self {
        match deployment() {
            Some(base_url) => Self::at(base_url).await,
            None => Self::here(TestDatabase::sqlite(), AppOptions::default()).await,
        }
    }

    /// As [`TestApp::start`], on this database when it runs in this process.
    ///
    /// # Panics
    /// When it cannot be reached or started.
    pub async fn start_on(db: TestDatabase) -> Self {
        match deployment() {
            Some(base_url) => Self::at(base_url).await,
            None => Self::here(db, AppOptions::default()).await,
        }
    }

    /// An application in this process; `None`, with a line that says so, when a deployment is under test.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn in_process(db: TestDatabase, options: AppOptions) -> Option<Self> {
        if deployment().is_some() {
            left_out("it needs an application in its own process");
            return None;
        }
        Some(Self::here(db, options).await)
    }

    async fn at(base_url: String) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let key = variable("SIMDEPOT_API_KEY").unwrap_or_else(|| simdepot_api::sandbox::SANDBOX_KEY.into());
        let account = variable("SIMDEPOT_CARRIER_ACCOUNT").unwrap_or_else(|| "sandbox".to_owned());
        Self::made(base_url, key, account, variable("SIMDEPOT_TWIN_URL"), None).await
    }

    async fn here(db: TestDatabase, options: AppOptions) -> Self {
        let twin = TwinServer::start(TwinConfig::sandbox(), "127.0.0.1:0").expect("the twin starts");
        let twin_url = twin.base_url.clone();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = db.store_with(Arc::clone(&clock));
        let turns = Arc::new(SharedTurns::new(store.clone()));
        let carrier = Transatel::new(account_at(&twin_url, CARRIER_TIMEOUT), Arc::clone(&clock), turns);
        let mut carrier: Arc<dyn Carrier> = Arc::new(carrier.expect("the adapter"));
        if let Some(wrap) = options.wrap_carrier {
            carrier = wrap(carrier);
        }
        let name = AccountName::parse(ACCOUNT).expect("an account name");
        let accounts = [(name, Account { carrier, timeout: CARRIER_TIMEOUT })].into();
        let targets = options.webhook_targets.unwrap_or(Targets::PublicOrThisMachine);
        let courier = HttpCourier::new(targets).expect("an HTTP client");
        let mut depot =
            Depot::new(store, clock, Arc::new(RandomIds), accounts).with_courier(Arc::new(courier), targets);
        // What the continuous comparison learns in between would come and go in the answers.
        Arc::make_mut(&mut depot.work).sweep_every = chrono::TimeDelta::zero();
        let key = unique("sd_test_suite_0123456789abcdef");
        let secret = SecretString::from(key.clone());
        api_keys::ensure_bootstrap(&depot, &secret).await.expect("the key is made");
        let spool = tempfile::Builder::new().prefix("simdepot-spool.").tempdir().expect("a temporary folder");
        let mut settings = ApiSettings {
            spool_dir: spool.path().to_owned(),
            rate_limit: options.rate_limit,
            ..ApiSettings::default()
        };
        settings.max_upload_bytes = options.max_upload_bytes.unwrap_or(settings.max_upload_bytes);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let started =
            Application::start(ApplicationOptions { depot: depot.clone(), settings, listener, workers: 4 });
        let application = started.expect("the application starts");
        let base_url = application.base_url.clone();
        let here = Here { application: Some(application), depot, _twin: twin, db, spool };
        Self::made(base_url, key, ACCOUNT.to_owned(), Some(twin_url), Some(here)).await
    }

    async fn made(
        base_url: String,
        key: String,
        account: String,
        twin: Option<String>,
        here: Option<Here>,
    ) -> Self {
        let client = ask::client();
        let twin = twin.map(|url| TwinControl::new(client.clone(), &url));
        if let Some(twin) = &twin {
            // What the carrier's search index does late is the subject of other suites.
            twin.patch("assumptions", &json!({"sim_search_lag_seconds": 0})).await;
        }
        let mut app =
            Self { base_url, key, account, pool: String::new(), client, twin, here, finished: false };
        app.pool = app.new_pool(json!({})).await;
        app
    }

    /// The carrier twin; `None`, with a line that says so, when the deployment under test does not show it.
    pub fn twin(&self) -> Option<&TwinControl> {
        if self.twin.is_none() {
            left_out("it needs SIMDEPOT_TWIN_URL");
        }
        self.twin.as_ref()
    }

    /// The depot behind it; `None`, with a line that says so, of a deployment.
    pub fn depot(&self) -> Option<&Depot> {
        if self.here.is_none() {
            left_out("it needs an application in its own process");
        }
        self.here.as_ref().map(|here| &here.depot)
    }

    /// A PUT of a JSON body.
    pub fn put(&self, path: &str, body: &Json) -> Ask {
        self.ask(Method::PUT, path).json(body)
    }

    /// A request with the key of all scopes. `path` begins with a slash.
    pub fn ask(&self, method: Method, path: &str) -> Ask {
        Ask::new(self.client.clone(), &self.base_url, method, path)
            .key(&self.key)
            .patient(self.here.is_none())
    }

    /// A GET.
    pub fn get(&self, path: &str) -> Ask {
        self.ask(Method::GET, path)
    }

    /// A POST of a JSON body.
    pub fn post(&self, path: &str, body: &Json) -> Ask {
        self.ask(Method::POST, path).json(body)
    }

    /// A PATCH of a JSON body.
    pub fn patch(&self, path: &str, body: &Json) -> Ask {
        self.ask(Method::PATCH, path).json(body)
    }

    /// A DELETE.
    pub fn delete(&self, path: &str) -> Ask {
        self.ask(Method::DELETE, path)
    }

    /// Makes a key; returns its id and the key itself.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn new_key(&self, channel: &str, scopes: &[&str]) -> (String, String) {
        let body = json!({"name": unique("key"), "channel": channel, "scopes": scopes});
        let made = self.post("/v1/api-keys", &body).send().await.expect_status(201).json();
        (text(&made, "/id"), text(&made, "/key"))
    }

    /// Reads `path` until `done` says so.
    ///
    /// # Panics
    /// When it takes too long.
    pub async fn wait_until(&self, path: &str, done: impl Fn(&Json) -> bool) -> Json {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.get(path).send().await.expect_status(200).json();
            if done(&seen) {
                return seen;
            }
            assert!(tokio::time::Instant::now() < deadline, "{path} stays at {seen:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everything that lies in the database, as it lies there; `None` of a deployment.
    pub fn bytes_at_rest(&self) -> Option<Vec<u8>> {
        self.here.as_ref().map(|here| here.db.bytes_at_rest())
    }

    /// Files that wait in the spool directory; `None` of a deployment.
    ///
    /// # Panics
    /// When the folder cannot be read.
    pub fn spooled_files(&self) -> Option<usize> {
        let here = self.here.as_ref()?;
        Some(std::fs::read_dir(here.spool.path()).expect("the spool directory").count())
    }

    /// Stops the application as a supervisor does: requests at work are finished. Does nothing to a deployment.
    ///
    /// # Panics
    /// When the server failed.
    pub async fn stop(&mut self) {
        let application = self.here.as_mut().and_then(|here| here.application.take());
        if let Some(application) = application {
            application.stop().await.expect("the server ends well");
        }
    }

    /// Ends a test: stops the application, and its tables must follow from its ledger.
    ///
    /// # Panics
    /// When they do not.
    pub async fn finish(mut self) {
        self.finished = true;
        self.stop().await;
        if let Some(here) = &self.here {
            let report = verify::run(&here.depot, &|_| ()).await.expect("verify runs");
            let findings: Vec<String> = report.findings.into_iter().map(|finding| finding.what).collect();
            assert!(findings.is_empty(), "verify found: {findings:#?}");
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // A second panic would hide the first one.
        if !self.finished && !std::thread::panicking() {
            panic!("end the test with finish()");
        }
    }
}

/// The text at a JSON pointer.
///
/// # Panics
/// When there is none.
pub fn text(value: &Json, pointer: &str) -> String {
    match value.pointer(pointer).and_then(Json::as_str) {
        Some(text) => text.to_owned(),
        None => panic!("no text at {pointer} of {value:#}"),
    }
}
