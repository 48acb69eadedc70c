//! A twin over HTTP: actix-web around [`Machine::handle`].
//!
//! A dropped connection is really closed before any byte of an answer, which is what a lost answer looks like to the
//! client. actix-web has no way to abandon a response, so the shell keeps a second handle of every accepted socket
//! and shuts it down under the server.

use std::any::Any;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::{Extensions, Server};
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use simdepot_domain::clock::{Clock, SystemClock};

use crate::courier::Courier;
use crate::machine::Machine;
use crate::reply::TwinReply;
use crate::request::TwinRequest;

/// Longest body, in bytes.
const MAX_BODY: usize = 16 << 20;
/// The state is behind one lock, so more workers would only wait.
const WORKERS: usize = 2;
/// Longer than the idle time of common client pools, so that no client meets a connection closed for idleness.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// The second handle of a connection's socket.
struct Socket(TcpStream);

/// Serves the twin on a bound listener, and delivers its events, until the process is told to stop (Ctrl-C, SIGTERM).
///
/// # Errors
/// The listener cannot be served.
pub async fn serve<M: Machine>(twin: Arc<Mutex<M>>, listener: TcpListener) -> io::Result<()> {
    let stopped = Arc::default();
    let _courier = Courier::start(Arc::clone(&twin), Arc::clone(&stopped));
    server(twin, stopped, listener, true)?.await
}

/// Set under the twin's lock when a server stops. actix-web ends a forced stop before its workers have ended, so
/// that a connection kept alive could still be answered for a moment; a stopped twin must be silent.
pub(crate) type Stopped = AtomicBool;

pub(crate) fn server<M: Machine>(
    twin: Arc<Mutex<M>>,
    stopped: Arc<Stopped>,
    listener: TcpListener,
    signals: bool,
) -> io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(Arc::clone(&twin)))
            .app_data(web::Data::from(Arc::clone(&stopped)))
            .app_data(web::PayloadConfig::new(MAX_BODY))
            .default_service(web::to(answer::<M>))
    })
    .on_connect(keep_socket)
    .workers(WORKERS)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(1)
    .listen(listener)?;
    Ok(if signals { server.run() } else { server.disable_signals().run() })
}

fn keep_socket(connection: &dyn Any, data: &mut Extensions) {
    let stream = connection.downcast_ref::<rt::net::TcpStream>();
    match stream.map(|stream| stream.as_fd().try_clone_to_owned()) {
        Some(Ok(handle)) => drop(data.insert(Socket(TcpStream::from(handle)))),
        Some(Err(error)) => tracing::warn!(%error, "cannot keep a handle of the connection to drop it later"),
        None => {}
    }
}

async fn answer<M: Machine>(
    twin: web::Data<Mutex<M>>,
    stopped: web::Data<Stopped>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let request = to_twin(&http, &body);
    let reply = {
        let mut twin = twin.lock().unwrap_or_else(PoisonError::into_inner);
        if stopped.load(Ordering::SeqCst) {
            return close(&http);
        }
        twin.handle(SystemClock.now(), &request)
    };
    tracing::debug!(method = request.method, path = request.path, status = reply.status(), "twin");
    match reply {
        TwinReply::Answer { status, headers, body, delay } => {
            if !delay.is_zero() {
                rt::time::sleep(delay).await;
                if stopped.load(Ordering::SeqCst) {
                    return close(&http);
                }
            }
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = HttpResponse::build(status);
            for (name, value) in headers {
                response.append_header((name, value));
            }
            response.body(body)
        }
        TwinReply::Drop { .. } => close(&http),
    }
}

/// Closes the connection under the server.
fn close(http: &HttpRequest) -> HttpResponse {
    if let Some(Socket(socket)) = http.conn_data::<Socket>()
        && let Err(error) = socket.shutdown(Shutdown::Both)
    {
        tracing::debug!(%error, "the client closed the connection first");
    }
    // Goes nowhere: the socket takes no more bytes.
    HttpResponse::InternalServerError().force_close().finish()
}

fn to_twin(http: &HttpRequest, body: &web::Bytes) -> TwinRequest {
    let text =
        |value: &actix_web::http::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    TwinRequest {
        method: http.method().as_str().to_owned(),
        path: http.uri().path().to_owned(),
        query: http.query_string().to_owned(),
        headers: http.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: body.to_vec(),
    }
}
