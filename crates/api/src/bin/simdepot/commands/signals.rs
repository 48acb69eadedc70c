//! Being told to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Ends with the first SIGTERM or SIGINT. Asked for before the server starts, so that none is missed.
pub(super) fn stop() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
