//! What handlers work with.

use std::path::PathBuf;

use metrics_exporter_prometheus::PrometheusHandle;
use simdepot_application::Depot;
use tokio::runtime::Handle;

use crate::middleware::key_use::KeyUse;
use crate::middleware::known_keys::KnownKeys;
use crate::middleware::rate_limit::RateLimits;

/// Most bytes of an uploaded file unless the settings say otherwise: 2 GiB.
pub const MAX_UPLOAD_BYTES: u64 = 2 << 30;

/// Settings of the API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// How the world reaches the API, without a slash at the end. Empty: derived from the listener.
    pub public_url: String,
    /// Whether this is a sandbox, with stock and keys that are worth nothing.
    pub sandbox: bool,
    /// Where uploaded files lie while they are read.
    pub spool_dir: PathBuf,
    /// Requests per second and key; `None` for no limit.
    pub rate_limit: Option<u32>,
    /// Most bytes of an uploaded file.
    pub max_upload_bytes: u64,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            public_url: String::new(),
            sandbox: false,
            spool_dir: std::env::temp_dir(),
            rate_limit: None,
            max_upload_bytes: MAX_UPLOAD_BYTES,
        }
    }
}

/// The application's state, shared by all workers of the server.
#[derive(Debug)]
pub struct AppState {
    /// The use cases' tools.
    pub depot: Depot,
    /// Settings of the API.
    pub settings: ApiSettings,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    pub(crate) limits: RateLimits,
    pub(crate) key_use: KeyUse,
    pub(crate) known_keys: KnownKeys,
    /// Outlives the HTTP workers: what must go on when a client or a worker goes away runs here.
    pub(crate) background: Handle,
}

impl AppState {
    /// The state of a new application. Its background work runs on the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(depot: Depot, settings: ApiSettings, metrics: PrometheusHandle) -> Self {
        let limits = RateLimits::new(settings.rate_limit);
        Self {
            depot,
            settings,
            metrics,
            limits,
            key_use: KeyUse::default(),
            known_keys: KnownKeys::default(),
            background: Handle::current(),
        }
    }
}
