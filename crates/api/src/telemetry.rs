//! Logs. Every line written for a request carries its id, method, route pattern and channel; paths, headers and bodies
//! are never logged, because they hold ICCIDs, keys and codes.

use std::io;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpMessage};
use thiserror::Error as ThisError;
use tracing::{Span, field};
use tracing_actix_web::RootSpanBuilder;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogConfig, LogFormat};
use crate::middleware::measure::UNMATCHED;
use crate::middleware::request_id::RequestId;

/// Why logging cannot be set up.
#[derive(Debug, ThisError)]
pub enum TelemetryError {
    /// `RUST_LOG` cannot be read.
    #[error("RUST_LOG cannot be read: {0}")]
    Filter(#[from] ParseError),
    /// Somebody else has set it up.
    #[error("logging is set up already: {0}")]
    Init(#[from] TryInitError),
}

/// What is too loud for a log of ours, unless a filter names it: actix-server tells of its workers at `info`, and
/// actix-http of every client that does not speak HTTP at `error`, so that anybody could write errors into the log.
const QUIETER: [(&str, &str); 2] = [("actix_server", "warn"), ("actix_http", "off")];

fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::try_new(text)?;
    for (target, level) in QUIETER.into_iter().filter(|(target, _)| !text.contains(target)) {
        filter = filter.add_directive(format!("{target}={level}").parse()?);
    }
    // The layer that makes the spans would repeat every refused request as a warning with the error's Debug form.
    Ok(filter.add_directive("tracing_actix_web::middleware=off".parse()?))
}

/// Writes logs to standard error from now on.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(&config.filter)?).with_writer(io::stderr);
    match config.format {
        LogFormat::Text => {
            let coloured = io::IsTerminal::is_terminal(&io::stderr());
            builder.with_ansi(coloured).finish().try_init()?;
        }
        LogFormat::Json => {
            builder.json().flatten_event(true).with_current_span(false).finish().try_init()?;
        }
    }
    Ok(())
}

/// The span around a request. It is of the level `error` so that no filter takes the request id from a line.
#[derive(Debug)]
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let id = request.extensions().get::<RequestId>().map(|id| id.0.to_string()).unwrap_or_default();
        tracing::error_span!(
            "request",
            request_id = %id,
            method = %request.method(),
            route = %request.match_pattern().unwrap_or_else(|| UNMATCHED.to_owned()),
            channel = field::Empty,
            error = field::Empty,
        )
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        if let Err(error) = outcome {
            span.record("error", field::display(error.as_response_error().status_code()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outsiders_write_no_errors_into_the_log() {
        for text in ["info", "debug", "simdepot=debug,warn"] {
            let shown = filter(text).unwrap().to_string();
            assert!(shown.contains("actix_http=off") && shown.contains("actix_server=warn"), "{shown}");
        }
        let wanted = filter("info,actix_http=debug").unwrap().to_string();
        assert!(wanted.contains("actix_http=debug") && !wanted.contains("actix_http=off"), "{wanted}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        let config = LogConfig { format: LogFormat::Text, filter: "simdepot=loud".to_owned() };
        let error = init(&config).unwrap_err();
        assert!(error.to_string().starts_with("RUST_LOG cannot be read"), "{error}");
    }
}
