//! Running the service: HTTP server and background jobs, in one process.
//!
//! ```no_run
//! # async fn example(depot: simdepot_application::Depot) -> std::io::Result<()> {
//! use simdepot_api::startup::{Application, ApplicationOptions};
//! use simdepot_api::state::ApiSettings;
//!
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let settings = ApiSettings::default();
//! let application = Application::start(ApplicationOptions { depot, settings, listener, workers: 4 })?;
//! println!("listening on {}", application.base_url);
//! application.stop().await
//! # }
//! ```

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, Error, HttpServer, web};
use simdepot_application::Depot;
use tokio::task::JoinHandle;
use tracing_actix_web::TracingLogger;
use utoipa_actix_web::AppExt;

use crate::config::reachable;
use crate::jobs::{self, Jobs};
use crate::middleware::authenticate::authenticate;
use crate::middleware::head::head_as_get;
use crate::middleware::measure::measure;
use crate::middleware::request_id::identify;
use crate::served::{self, Served};
use crate::state::{ApiSettings, AppState};
use crate::telemetry::RequestSpan;
use crate::{metrics, routes};

/// How long a stop waits for requests at work, in seconds. Orders go on without them.
const FINISH_REQUESTS: u64 = 10;
/// Longer than the idle time of common client pools, so that no client meets a connection closed for idleness.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to send its headers.
const HEADERS: Duration = Duration::from_secs(10);

/// What an application is made of.
#[derive(Debug)]
pub struct ApplicationOptions {
    /// Store, clock, ids and carriers.
    pub depot: Depot,
    /// Settings of the API. An empty public URL is derived from the listener.
    pub settings: ApiSettings,
    /// Where it listens; port 0 has become a free one.
    pub listener: TcpListener,
    /// Carrier operations carried out at a time; 0 leaves them to other processes.
    pub workers: usize,
}

/// A running application. Dropping it leaves it running: [`Application::stop`] ends it.
#[derive(Debug)]
pub struct Application {
    /// What its handlers work with.
    pub state: web::Data<AppState>,
    /// How it is reached from this machine, without a slash at the end.
    pub base_url: String,
    server: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
    jobs: Jobs,
}

impl Application {
    /// Starts to serve, and the background jobs. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the listener cannot be served, or there is no place for uploads.
    pub fn start(options: ApplicationOptions) -> io::Result<Self> {
        let ApplicationOptions { mut depot, mut settings, listener, workers } = options;
        Arc::make_mut(&mut depot.work).webhook_probes = jobs::webhook_probes(workers);
        let base_url = format!("http://{}", reachable(listener.local_addr()?));
        if settings.public_url.is_empty() {
            settings.public_url.clone_from(&base_url);
        }
        require_spool(&settings)?;
        routes::imports::sweep(&settings.spool_dir);
        let state = web::Data::new(AppState::new(depot, settings, metrics::handle()));
        let server = server(state.clone(), listener)?;
        let handle = server.handle();
        let serving = tokio::spawn(server);
        let jobs = Jobs::start(state.clone(), workers);
        Ok(Self { state, base_url, server: handle, serving, jobs })
    }

    /// Serves until `told` is over or the server fails, then stops.
    ///
    /// # Errors
    /// The server has failed.
    pub async fn run_until(mut self, told: impl Future<Output = ()>) -> io::Result<()> {
        tokio::select! {
            () = told => self.stop().await,
            ended = &mut self.serving => {
                self.jobs.stop().await;
                ended.unwrap_or_else(|panic| Err(io::Error::other(panic)))
            }
        }
    }

    /// Stops accepting, finishes requests, then the background steps at work. Requests that wait for something are
    /// answered with what there is.
    ///
    /// # Errors
    /// The server had failed.
    pub async fn stop(self) -> io::Result<()> {
        tracing::info!("stopping");
        self.state.depot.signals.stop();
        self.server.stop(true).await;
        let ended = self.serving.await;
        self.jobs.stop().await;
        ended.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}

/// An upload that finds no place to lie would fail late; a start that fails is seen.
fn require_spool(settings: &ApiSettings) -> io::Result<()> {
    let folder = &settings.spool_dir;
    let tried = std::fs::create_dir_all(folder).and_then(|()| tempfile::NamedTempFile::new_in(folder));
    tried.map(drop).map_err(|error| {
        io::Error::new(error.kind(), format!("uploads cannot be kept in {}: {error}", folder.display()))
    })
}

/// The HTTP server alone, not yet polled. It does not listen to signals.
///
/// # Errors
/// The listener cannot be served.
pub fn server(state: web::Data<AppState>, listener: TcpListener) -> io::Result<Server> {
    let served = Arc::new(Served::of_document(&crate::openapi::document())?);
    let server = HttpServer::new(move || app(state.clone(), Arc::clone(&served)))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEADERS)
        // A client that has gone away is not waited on behalf of; what it began is finished by background work.
        .h1_allow_half_closed(false)
        .shutdown_timeout(FINISH_REQUESTS)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// Serves without background jobs until the server fails.
///
/// # Errors
/// The listener cannot be served.
pub async fn serve(state: web::Data<AppState>, listener: TcpListener) -> io::Result<()> {
    server(state, listener)?.await
}

fn app(
    state: web::Data<AppState>,
    served: Arc<Served>,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()>,
> {
    App::new()
        .app_data(state)
        .app_data(web::Data::from(served))
        .into_utoipa_app()
        .configure(routes::configure)
        .into_app()
        .default_service(web::to(served::answer))
        .wrap(from_fn(authenticate))
        .wrap(Compress::default())
        .wrap(from_fn(measure))
        .wrap(TracingLogger::<RequestSpan>::new())
        .wrap(from_fn(identify))
        .wrap(from_fn(head_as_get))
}

#[cfg(test)]
mod tests;
