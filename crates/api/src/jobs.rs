//! Background work: loops over the application's steps until they are told to stop.
//!
//! A loop outlives whatever its step does: an error or a panic is logged and the step is tried again after a pause that
//! grows. A stop lets the step at work finish.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use simdepot_application::{AppError, Depot, deliveries, holds, housekeeping, operations};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::state::AppState;

/// How often an idle worker looks for work that another process has made.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How many lost answers are looked into at a time.
const RESOLVERS: usize = 2;
/// Pause between two housekeeping rounds.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Pause between two rounds of completing deliveries.
const DELIVERIES: Duration = Duration::from_secs(2);
/// Pause between two looks for holds whose deadline has passed.
const HOLDS: Duration = Duration::from_secs(1);
/// Pause between two rounds of upkeep: histograms, idle rate limits, last use of keys.
const UPKEEP: Duration = Duration::from_secs(10);
/// First and longest pause after an error.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How long a stop waits for steps at work: longer than a carrier call takes by default.
const DRAIN: Duration = Duration::from_secs(18);

/// The loops of a process.
#[derive(Debug)]
pub struct Jobs {
    stop: watch::Sender<bool>,
    loops: Vec<JoinHandle<()>>,
    state: web::Data<AppState>,
}

/// What a step found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// There may be more: look at once.
    Work,
    /// Nothing to do for now.
    Nothing,
}

impl From<bool> for Found {
    fn from(did_something: bool) -> Self {
        if did_something { Self::Work } else { Self::Nothing }
    }
}

impl Jobs {
    /// Starts all loops, `workers` of them on carrier operations.
    pub fn start(state: web::Data<AppState>, workers: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut loops = Vec::new();
        for _ in 0..workers {
            let (depot, signals) = (state.depot.clone(), Arc::clone(&state.depot.signals));
            let step = move || operation(depot.clone());
            let idle = move || {
                let signals = Arc::clone(&signals);
                async move {
                    // Woken or not: the next thing is to look.
                    let _ = tokio::time::timeout(LOOK_AGAIN, signals.work.notified()).await;
                }
            };
            loops.push(tokio::spawn(repeat("operations", stopped.clone(), step, idle)));
        }
        if workers > 0 {
            for _ in 0..RESOLVERS {
                let depot = state.depot.clone();
                let step = move || resolution(depot.clone());
                loops.push(tokio::spawn(repeat("resolver", stopped.clone(), step, || {
                    tokio::time::sleep(LOOK_AGAIN)
                })));
            }
        }
        let depot = state.depot.clone();
        let step = move || delivery(depot.clone());
        loops.push(tokio::spawn(repeat("deliveries", stopped.clone(), step, || {
            tokio::time::sleep(DELIVERIES)
        })));
        let depot = state.depot.clone();
        let step = move || housekeep(depot.clone());
        loops.push(tokio::spawn(repeat("housekeeping", stopped.clone(), step, || {
            tokio::time::sleep(HOUSEKEEPING)
        })));
        let depot = state.depot.clone();
        let step = move || sweep_holds(depot.clone());
        loops.push(tokio::spawn(repeat("holds", stopped.clone(), step, || tokio::time::sleep(HOLDS))));
        let shared = state.clone();
        let step = move || upkeep(shared.clone());
        loops.push(tokio::spawn(repeat("upkeep", stopped, step, || tokio::time::sleep(UPKEEP))));
        Self { stop, loops, state }
    }

    /// Lets the steps at work finish and ends. A step that takes too long is abandoned: what it had sent to a carrier is
    /// resolved by the next process.
    pub async fn stop(self) {
        let Self { stop, loops, state } = self;
        // Fails only when every loop has ended already.
        let _ = stop.send(true);
        let deadline = tokio::time::Instant::now() + DRAIN;
        for mut running in loops {
            if tokio::time::timeout_at(deadline, &mut running).await.is_err() {
                tracing::warn!("a background step did not end in time and is abandoned");
                running.abort();
            }
        }
        if let Err(error) = state.key_use.flush(&state.depot).await {
            tracing::warn!(%error, "the last use of keys is not recorded");
        }
    }
}

async fn operation(depot: Depot) -> Result<Found, AppError> {
    operations::step(&depot).await.map(Found::from)
}

async fn resolution(depot: Depot) -> Result<Found, AppError> {
    operations::resolve_step(&depot).await.map(Found::from)
}

async fn delivery(depot: Depot) -> Result<Found, AppError> {
    deliveries::step(&depot).await.map(Found::from)
}

async fn housekeep(depot: Depot) -> Result<Found, AppError> {
    housekeeping::step(&depot).await.map(|()| Found::Nothing)
}

async fn sweep_holds(depot: Depot) -> Result<Found, AppError> {
    holds::step(&depot).await.map(Found::from)
}

async fn upkeep(state: web::Data<AppState>) -> Result<Found, AppError> {
    state.metrics.run_upkeep();
    state.limits.forget_idle();
    state.key_use.flush(&state.depot).await.map(|()| Found::Nothing)
}

/// Repeats `step` until stopped: at once after work, after `idle` when there was none, after a growing pause on errors.
async fn repeat<S, I>(
    name: &'static str,
    mut stopped: watch::Receiver<bool>,
    step: impl Fn() -> S,
    idle: impl Fn() -> I,
) where
    S: Future<Output = Result<Found, AppError>> + Send + 'static,
    I: Future<Output = ()>,
{
    let mut pause = BACKOFF.0;
    while !*stopped.borrow() {
        // A task of its own, so that a panic ends the step and not the loop.
        let failure = match tokio::spawn(step()).await {
            Ok(Ok(found)) => {
                pause = BACKOFF.0;
                if found == Found::Nothing {
                    tokio::select! {
                        () = idle() => {}
                        _ = stopped.changed() => {}
                    }
                }
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        tracing::error!(job = name, error = failure, retry_ms = pause.as_millis(), "background step failed");
        ::metrics::counter!("simdepot_job_failures_total", "job" => name).increment(1);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => {}
        }
        pause = (pause * 2).min(BACKOFF.1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_loop_survives_errors_and_panics_and_stops() {
        let (stop, stopped) = watch::channel(false);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let step = move || {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match call {
                    0 => Err(AppError::Internal("first".into())),
                    1 => panic!("second"),
                    2 => Ok(Found::Work),
                    _ => Ok(Found::Nothing),
                }
            }
        };
        let running =
            tokio::spawn(repeat("test", stopped, step, || tokio::time::sleep(Duration::from_secs(3600))));
        // The pauses after the two failures are 0.2 and 0.4 s.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(calls.load(Ordering::SeqCst), 4, "two failures, one piece of work, then idle");
        stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(1), running).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_stop_lets_the_step_finish() {
        let (stop, stopped) = watch::channel(false);
        let done = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&done);
        let step = move || {
            let done = Arc::clone(&counted);
            async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                done.fetch_add(1, Ordering::SeqCst);
                Ok(Found::Work)
            }
        };
        let running = tokio::spawn(repeat("test", stopped, step, || std::future::ready(())));
        tokio::time::sleep(Duration::from_millis(20)).await;
        stop.send(true).unwrap();
        running.await.unwrap();
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}
