//! Background work: loops over the application's steps until they are told to stop.
//!
//! A loop outlives whatever its step does: an error or a panic is logged and the step is tried again after a pause that
//! grows. A stop lets the step at work finish.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use futures_util::future::BoxFuture;
use simdepot_application::signals::Signals;
use simdepot_application::{
    AppError, Depot, cancellations, deliveries, feed, holds, housekeeping, inbound, key_rotation, line_jobs,
    line_operations, operations, plan_watch, reconciliation, stock_alerts, webhooks,
};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::state::AppState;

/// Pause between two rounds of upkeep: histograms, idle rate limits, last use of keys.
const UPKEEP: Duration = Duration::from_secs(10);
/// First and longest pause after an error.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How long a stop waits for steps at work: longer than a carrier call takes by default.
const DRAIN: Duration = Duration::from_secs(18);
/// Most steps that a stop takes to number what is left of the feed.
const LAST_STEPS: usize = 20;

/// A step of the application: tells whether it did something, so that there may be more.
type Step = fn(Depot) -> BoxFuture<'static, Result<bool, AppError>>;

/// How many of a loop a process runs.
#[derive(Debug, Clone, Copy)]
enum Count {
    /// One.
    One,
    /// As many as carrier operations are carried out at a time, at most so many. None where those are left to other
    /// processes.
    Workers(usize),
    /// [`webhook_workers`].
    Webhooks,
}

/// Workers that send webhooks: they mostly wait, so there are more than the others. There are two at least, so that one
/// is left when the other waits for a dead endpoint; none where sending is left to other processes.
fn webhook_workers(workers: usize) -> usize {
    match workers {
        0 => 0,
        some => some.saturating_mul(2).clamp(2, 16),
    }
}

/// How many of them may be at failing endpoints at a time: half.
pub(crate) fn webhook_probes(workers: usize) -> usize {
    webhook_workers(workers) / 2
}

/// A loop over a step.
struct Loop {
    /// Labels its logs and metrics.
    name: &'static str,
    count: Count,
    /// Pause when there was nothing to do: another process may have made work.
    pause: Duration,
    /// Ends the pause when this process made work.
    wake: Option<fn(&Signals) -> &Notify>,
    step: Step,
}

const fn every(name: &'static str, pause: Duration, step: Step) -> Loop {
    Loop { name, count: Count::One, pause, wake: None, step }
}

/// Everything that a process does in the background, apart from its own upkeep. Each step is safe beside the same step
/// of other loops and processes.
const LOOPS: &[Loop] = &[
    Loop {
        count: Count::Workers(usize::MAX),
        wake: Some(|signals| &signals.work),
        ..every("operations", Duration::from_millis(500), |depot| {
            Box::pin(async move { operations::step(&depot).await })
        })
    },
    Loop {
        count: Count::Workers(2),
        ..every("resolver", Duration::from_millis(500), |depot| {
            Box::pin(async move { operations::resolve_step(&depot).await })
        })
    },
    Loop {
        count: Count::Workers(2),
        wake: Some(|signals| &signals.lines),
        ..every("line_operations", Duration::from_millis(500), |depot| {
            Box::pin(async move { line_operations::step(&depot).await })
        })
    },
    Loop {
        count: Count::Workers(2),
        ..every("line_follower", Duration::from_millis(500), |depot| {
            Box::pin(async move { line_operations::follow_step(&depot).await })
        })
    },
    Loop {
        count: Count::Workers(1),
        wake: Some(|signals| &signals.line_jobs),
        ..every("line_jobs", Duration::from_millis(500), |depot| {
            Box::pin(async move { line_jobs::step(&depot).await })
        })
    },
    // An event of another process is in the feed soon after.
    every("feed", Duration::from_millis(200), |depot| Box::pin(async move { feed::step(&depot).await })),
    every("checkpoints", Duration::from_secs(5), |depot| {
        Box::pin(async move { feed::keep_checkpoints(&depot).await.map(|_| false) })
    }),
    Loop {
        wake: Some(|signals| &signals.inbound),
        ..every("inbound", Duration::from_millis(500), |depot| {
            Box::pin(async move { inbound::step(&depot).await })
        })
    },
    every("webhook_fan_out", Duration::from_millis(250), |depot| {
        Box::pin(async move { webhooks::fan_out::step(&depot).await })
    }),
    Loop {
        count: Count::Webhooks,
        wake: Some(|signals| &signals.webhooks),
        ..every("webhooks", Duration::from_secs(1), |depot| {
            Box::pin(async move { webhooks::deliver::step(&depot).await })
        })
    },
    every("webhook_tidying", Duration::from_secs(60), |depot| {
        Box::pin(async move { webhooks::tidy(&depot).await })
    }),
    every("holds", Duration::from_secs(1), |depot| Box::pin(async move { holds::step(&depot).await })),
    every("cancellations", Duration::from_secs(1), |depot| {
        Box::pin(async move { cancellations::step(&depot).await })
    }),
    every("sweep", Duration::from_millis(500), |depot| {
        Box::pin(async move { reconciliation::sweep::step(&depot).await })
    }),
    every("reconciliation", Duration::from_secs(1), |depot| {
        Box::pin(async move { reconciliation::step(&depot).await })
    }),
    every("stock_alerts", Duration::from_secs(5), |depot| {
        Box::pin(async move { stock_alerts::step(&depot).await.map(|()| false) })
    }),
    every("plan_watch", Duration::from_secs(30), |depot| {
        Box::pin(async move { plan_watch::step(&depot).await })
    }),
    every("deliveries", Duration::from_secs(2), |depot| {
        Box::pin(async move { deliveries::step(&depot).await })
    }),
    every("housekeeping", Duration::from_secs(1), |depot| {
        Box::pin(async move { housekeeping::step(&depot).await.map(|()| false) })
    }),
];

/// The loops of a process.
#[derive(Debug)]
pub struct Jobs {
    stop: watch::Sender<bool>,
    loops: Vec<JoinHandle<()>>,
    state: web::Data<AppState>,
}

impl Jobs {
    /// Starts all loops; those that talk to carriers up to `workers` times, and for those that send webhooks as many as
    /// go with that.
    pub fn start(state: web::Data<AppState>, workers: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut loops = Vec::new();
        for job in LOOPS {
            let count = match job.count {
                Count::One => 1,
                Count::Workers(most) => workers.min(most),
                Count::Webhooks => webhook_workers(workers),
            };
            loops.extend(
                (0..count).map(|number| tokio::spawn(run(job, number, state.depot.clone(), stopped.clone()))),
            );
        }
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
        number_the_rest(&state.depot).await;
        if let Err(error) = state.key_use.flush(&state.depot).await {
            tracing::warn!(%error, "the last use of keys is not recorded");
        }
    }
}

/// A worker that took work wakes the next, so one of them looks on behalf of all; the others look as well, for the
/// case that it is busy for long.
const OTHERS_LOOK: u32 = 8;

async fn run(job: &'static Loop, number: usize, depot: Depot, stopped: watch::Receiver<bool>) {
    let signals = Arc::clone(&depot.signals);
    let pause = if number > 0 && job.wake.is_some() { job.pause * OTHERS_LOOK } else { job.pause };
    let step = move || (job.step)(depot.clone());
    let idle = move || {
        let signals = Arc::clone(&signals);
        async move {
            match job.wake {
                // Woken or not: the next thing is to look.
                Some(wake) => drop(tokio::time::timeout(pause, wake(&signals).notified()).await),
                None => tokio::time::sleep(pause).await,
            }
        }
    };
    repeat(job.name, stopped, step, idle).await;
}

/// The last events of this process get their numbers before it ends; the next process would number them otherwise.
async fn number_the_rest(depot: &Depot) {
    for _ in 0..LAST_STEPS {
        match feed::step(depot).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "the last events have no number yet");
                return;
            }
        }
    }
}

async fn upkeep(state: web::Data<AppState>) -> Result<bool, AppError> {
    state.metrics.run_upkeep();
    state.limits.forget_idle();
    state.key_use.flush(&state.depot).await?;
    key_rotation::watch(&state.depot).await.map(|()| false)
}

/// Repeats `step` until stopped: at once after work, after `idle` when there was none, after a growing pause on errors.
async fn repeat<S, I>(
    name: &'static str,
    mut stopped: watch::Receiver<bool>,
    step: impl Fn() -> S,
    idle: impl Fn() -> I,
) where
    S: Future<Output = Result<bool, AppError>> + Send + 'static,
    I: Future<Output = ()>,
{
    let mut pause = BACKOFF.0;
    while !*stopped.borrow() {
        // A task of its own, so that a panic ends the step and not the loop.
        let failure = match tokio::spawn(step()).await {
            Ok(Ok(did_something)) => {
                pause = BACKOFF.0;
                if !did_something {
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
                    2 => Ok(true),
                    _ => Ok(false),
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

    #[test]
    fn half_of_the_webhook_workers_is_left_to_healthy_endpoints() {
        for (workers, senders, probes) in [(0, 0, 0), (1, 2, 1), (2, 4, 2), (8, 16, 8), (256, 16, 8)] {
            assert_eq!((webhook_workers(workers), webhook_probes(workers)), (senders, probes), "{workers}");
        }
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
                Ok(true)
            }
        };
        let running = tokio::spawn(repeat("test", stopped, step, || std::future::ready(())));
        tokio::time::sleep(Duration::from_millis(20)).await;
        stop.send(true).unwrap();
        running.await.unwrap();
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}
