//! A process of simdepot: a depot on the shared database, and its background loops.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use chrono::TimeDelta;
use simdepot_application::depot::{Account, WorkSettings};
use simdepot_application::{
    AppError, Depot, cancellations, deliveries, feed, holds, housekeeping, inbound, line_jobs,
    line_operations, operations, reconciliation, stock_alerts, webhooks,
};
use simdepot_carrier_sps::Sps;
use simdepot_carrier_transatel::Transatel;
use simdepot_domain::carrier::{Carrier, Turns, Unavailable};
use simdepot_domain::channel::AccountName;
use simdepot_domain::webhook::{Courier, Targets};
use simdepot_persistence::Store;

use super::carriers::{Carriers, Habits, To, transatel_account, wholesale_account};
use super::executor::{Gate, Work};
use super::network::{Network, Road};
use super::post::Post;
use super::template::RunDatabase;
use super::time::{Ids, Time};
use crate::guards::Guard;
use crate::history::{History, What};
use crate::rng::Rng;

/// What all processes of a run share.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) time: Arc<Time>,
    pub(super) ids: Arc<Ids>,
    pub(super) network: Arc<Network>,
    pub(super) history: Arc<Mutex<History>>,
    pub(super) timeout: Duration,
    pub(super) pace: Pace,
    pub(super) post: Arc<Post>,
    pub(super) carriers: Carriers,
    pub(super) habits: Habits,
    pub(super) broken: Option<Guard>,
}

/// Settings that differ from run to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// When a person must decide, or a carrier that cannot be reached fails the operation.
    give_up: TimeDelta,
    resolve_reads: u32,
    /// Carriers of a run work on a command for seconds, not for minutes.
    pub(super) line_settle: TimeDelta,
}

impl Default for Pace {
    fn default() -> Self {
        let WorkSettings { give_up, resolve_reads, .. } = WorkSettings::default();
        Self { give_up, resolve_reads, line_settle: TimeDelta::seconds(45) }
    }
}

impl Pace {
    /// Mostly as it comes; now and then nobody is patient, so that people must decide within a run.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        if !rng.per_mille(350) {
            return Self::default();
        }
        let resolve_reads = u32::try_from(rng.within(1, 4)).unwrap_or(1);
        Self { give_up: TimeDelta::seconds(rng.within(25, 120)), resolve_reads, ..Self::default() }
    }
}

/// Turns that are always free: the rate is not what is proven here.
struct FreeTurns;

#[async_trait]
impl Turns for FreeTurns {
    async fn take(&self, _: &AccountName, _: u32, _: u32) -> Result<Duration, Unavailable> {
        Ok(Duration::ZERO)
    }
}

impl Surroundings {
    /// Begins a process: nothing of an earlier one is in its memory.
    pub(super) fn open(&self, database: &RunDatabase) -> Result<Depot> {
        self.depot(database.store(self.time.clone(), Arc::new(Gate))?)
    }

    /// A depot on a store.
    pub(super) fn depot(&self, store: Store) -> Result<Depot> {
        let mut pace = WorkSettings {
            catalogue_age: TimeDelta::minutes(3),
            sweep_every: TimeDelta::seconds(10),
            give_up: self.pace.give_up,
            resolve_reads: self.pace.resolve_reads,
            line_settle: self.pace.line_settle,
            ..WorkSettings::default()
        };
        let mut courier: Arc<dyn Courier> = self.post.clone();
        if let Some(guard) = self.broken {
            courier = guard.wrap_courier(courier);
            guard.pace(&mut pace);
        }
        let mut accounts = BTreeMap::new();
        for to in self.carriers.all() {
            let account = Account { carrier: self.carrier(to)?, timeout: self.timeout };
            accounts.insert(AccountName::parse(to.account())?, account);
        }
        let depot = Depot::new(store, self.time.clone(), self.ids.clone(), accounts);
        let mut depot = depot.with_courier(courier, Targets::Public);
        depot.work = Arc::new(pace);
        Ok(depot)
    }

    fn carrier(&self, to: To) -> Result<Arc<dyn Carrier>> {
        let (time, turns, timeout) = (self.time.clone(), Arc::new(FreeTurns), self.timeout);
        let road = Arc::new(Road { network: Arc::clone(&self.network), to });
        let carrier: Arc<dyn Carrier> = match to {
            To::Transatel => {
                Arc::new(Transatel::with_exchange(transatel_account(timeout), time, turns, road)?)
            }
            To::Wholesale => {
                Arc::new(Sps::with_exchange(wholesale_account(timeout, &self.habits), time, turns, road)?)
            }
        };
        Ok(match self.broken {
            Some(guard) => guard.wrap(carrier),
            None => carrier,
        })
    }

    /// The background loops of a process.
    pub(super) fn loops(&self, process: usize, depot: &Depot, sends: bool, rng: &mut Rng) -> Vec<Work> {
        let mut loops = Vec::new();
        for _ in 0..2 {
            let (work, signals) = (depot.clone(), Arc::clone(&depot.signals));
            let idle = move |pause| {
                let signals = Arc::clone(&signals);
                async move {
                    // Woken or not: the next thing is to look.
                    let _ = tokio::time::timeout(pause, signals.work.notified()).await;
                }
            };
            let step = move || {
                let depot = work.clone();
                async move { operations::step(&depot).await }
            };
            loops.push(self.repeat(process, "operations", 500, rng.split(), step, idle));
        }
        if sends {
            self.add_webhooks(process, depot, rng, &mut loops);
        }
        let mut plain = |job, pause, step: fn(Depot) -> Step| {
            let work = depot.clone();
            loops.push(self.repeat(
                process,
                job,
                pause,
                rng.split(),
                move || step(work.clone()),
                tokio::time::sleep,
            ));
        };
        plain("housekeeping", 2_000, |depot| {
            Box::pin(async move { housekeeping::step(&depot).await.map(|()| false) })
        });
        plain("resolver", 1_000, |depot| Box::pin(async move { operations::resolve_step(&depot).await }));
        plain("line operations", 1_000, |depot| Box::pin(async move { line_operations::step(&depot).await }));
        plain("line follower", 1_000, |depot| {
            Box::pin(async move { line_operations::follow_step(&depot).await })
        });
        plain("holds", 2_000, |depot| Box::pin(async move { holds::step(&depot).await }));
        plain("cancellations", 1_000, |depot| Box::pin(async move { cancellations::step(&depot).await }));
        plain("inbound", 1_000, |depot| Box::pin(async move { inbound::step(&depot).await }));
        plain("sweep", 5_000, |depot| Box::pin(async move { reconciliation::sweep::step(&depot).await }));
        plain("reconciliation", 1_000, |depot| Box::pin(async move { reconciliation::step(&depot).await }));
        plain("line jobs", 1_000, |depot| Box::pin(async move { line_jobs::step(&depot).await }));
        plain("feed", 5_000, |depot| Box::pin(async move { feed::step(&depot).await }));
        plain("stock alerts", 10_000, |depot| {
            Box::pin(async move { stock_alerts::step(&depot).await.map(|()| false) })
        });
        plain("deliveries", 20_000, |depot| Box::pin(async move { deliveries::step(&depot).await }));
        loops
    }

    /// The courier's loops, where there are endpoints.
    fn add_webhooks(&self, process: usize, depot: &Depot, rng: &mut Rng, loops: &mut Vec<Work>) {
        for _ in 0..2 {
            let (work, signals) = (depot.clone(), Arc::clone(&depot.signals));
            let idle = move |pause| {
                let signals = Arc::clone(&signals);
                async move {
                    // Woken or not: the next thing is to look.
                    let _ = tokio::time::timeout(pause, signals.webhooks.notified()).await;
                }
            };
            let step = move || {
                let depot = work.clone();
                async move { webhooks::deliver::step(&depot).await }
            };
            loops.push(self.repeat(process, "webhooks", 5_000, rng.split(), step, idle));
        }
        let work = depot.clone();
        let step = move || {
            let depot = work.clone();
            async move { webhooks::fan_out::step(&depot).await }
        };
        loops.push(self.repeat(process, "fan out", 4_000, rng.split(), step, tokio::time::sleep));
    }

    /// Repeats a step: at once after work, else after a pause.
    fn repeat<S, I>(
        &self,
        process: usize,
        job: &'static str,
        pause_ms: i64,
        mut rng: Rng,
        step: impl Fn() -> S + Send + 'static,
        idle: impl Fn(Duration) -> I + Send + 'static,
    ) -> Work
    where
        S: Future<Output = Result<bool, AppError>> + Send + 'static,
        I: Future<Output = ()> + Send + 'static,
    {
        let (history, time) = (Arc::clone(&self.history), Arc::clone(&self.time));
        Box::pin(async move {
            loop {
                let pause = rng.within(pause_ms / 2, pause_ms * 3 / 2);
                let pause = Duration::from_millis(u64::try_from(pause).unwrap_or_default());
                match step().await {
                    Ok(true) => {}
                    Ok(false) => idle(pause).await,
                    Err(error) => {
                        let expected = error.is_race() || matches!(error, AppError::CarrierUnavailable(_));
                        let what = What::StepFailed { process, job, error: error.to_string(), expected };
                        history.lock().unwrap_or_else(PoisonError::into_inner).push(time.micros(), what);
                        tokio::time::sleep(pause).await;
                    }
                }
            }
        })
    }
}

type Step = std::pin::Pin<Box<dyn Future<Output = Result<bool, AppError>> + Send>>;
