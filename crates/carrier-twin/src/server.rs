//! A twin on a thread and a runtime of its own, for the sandbox and for tests of any runtime or none.

use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use actix_web::dev::ServerHandle;
use actix_web::rt::System;

use crate::config::TwinConfig;
use crate::courier::Courier;
use crate::machine::Machine;
use crate::shell::{self, Stopped};
use crate::state::Twin;

/// A running twin. Dropping it stops the server.
#[derive(Debug)]
pub struct TwinServer<M: Machine = Twin> {
    /// Where it is reached, without a slash at the end: `http://127.0.0.1:40123`.
    pub base_url: String,
    handle: ServerHandle,
    thread: Option<JoinHandle<io::Result<()>>>,
    twin: Arc<Mutex<M>>,
    stopped: Arc<Stopped>,
}

impl TwinServer<Twin> {
    /// Starts a twin of a Transatel account; port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be listened on, or no thread can be started.
    pub fn start(config: TwinConfig, listen: impl ToSocketAddrs) -> io::Result<Self> {
        Self::start_with(Twin::new(config), listen)
    }
}

impl<M: Machine> TwinServer<M> {
    /// Starts a twin that has been prepared, of either carrier.
    ///
    /// # Errors
    /// The address cannot be listened on, or no thread can be started.
    pub fn start_with(twin: M, listen: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let twin = Arc::new(Mutex::new(twin));
        let (sender, receiver) = mpsc::channel();
        let stopped = Arc::new(Stopped::new(false));
        let (served, flag) = (Arc::clone(&twin), Arc::clone(&stopped));
        let thread = thread::Builder::new().name("carrier-twin".to_owned()).spawn(move || {
            System::new().block_on(async move {
                let _courier = Courier::start(Arc::clone(&served), Arc::clone(&flag));
                let server = shell::server(served, flag, listener, false)?;
                // Nobody listens when the caller has gone; then there is nothing to serve either.
                if sender.send(server.handle()).is_err() {
                    return Ok(());
                }
                server.await
            })
        })?;
        match receiver.recv() {
            Ok(handle) => Ok(Self { base_url, handle, thread: Some(thread), twin, stopped }),
            // The thread ended before it had a server: its result says why.
            Err(_) => Err(join(thread).err().unwrap_or_else(|| io::Error::other("the twin did not start"))),
        }
    }

    /// The twin, to look at it and to change it between requests. Do not hold the guard across an `await`.
    pub fn twin(&self) -> MutexGuard<'_, M> {
        self.twin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the server and waits until its thread has ended; blocks for a moment. From then on nothing is answered
    /// and nothing takes effect, on kept connections either.
    ///
    /// # Errors
    /// The server had failed.
    pub fn stop(mut self) -> io::Result<()> {
        self.tell_to_stop();
        self.thread.take().map_or(Ok(()), join)
    }

    fn tell_to_stop(&self) {
        let twin = self.twin();
        self.stopped.store(true, Ordering::SeqCst);
        drop(twin);
        // The command is sent by the call itself; the future only waits for its end.
        drop(self.handle.stop(false));
    }
}

impl<M: Machine> Drop for TwinServer<M> {
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}

fn join(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the twin's thread panicked")))
}
