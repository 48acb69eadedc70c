//! Small writes of many workers in one transaction: those that come while one is being committed gather for the next.
//!
//! For writes that a process makes many of at a time, each about something of its own. When one of a batch cannot be
//! written, each gets a transaction of its own (`write_each`): so a write may be tried twice, and must say the same.

use std::any::Any;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use simdepot_persistence::{Conn, StoreError};

use crate::batch::write_each;
use crate::depot::Depot;
use crate::error::AppError;
use crate::gathering::Item;

type Written = Box<dyn Any + Send>;
type Work = Box<dyn Fn(&mut Conn<'_>) -> Result<Written, AppError> + Send + Sync>;

/// A write that others may go along with.
pub struct SmallWrite {
    depot: Depot,
    locks: String,
    work: Work,
}

impl Item for SmallWrite {
    type Outcome = Result<Written, AppError>;

    const NAME: &'static str = "small writes";

    fn run(batch: Vec<Self>) -> BoxFuture<'static, Vec<Self::Outcome>> {
        write(batch).boxed()
    }
}

async fn write(batch: Vec<SmallWrite>) -> Vec<Result<Written, AppError>> {
    let Some(depot) = batch.first().map(|first| first.depot.clone()) else { return Vec::new() };
    let count = batch.len();
    // In one order in every process, so that two batches never wait for each other.
    let mut sorted: Vec<(usize, SmallWrite)> = batch.into_iter().enumerate().collect();
    sorted.sort_by(|(_, a), (_, b)| a.locks.cmp(&b.locks));
    let (places, batch): (Vec<usize>, Vec<SmallWrite>) = sorted.into_iter().unzip();
    match write_each(&depot, batch, |conn, small| (small.work)(conn)).await {
        Ok(results) => {
            let mut results: Vec<_> = places.into_iter().zip(results).collect();
            results.sort_by_key(|(place, _)| *place);
            results.into_iter().map(|(_, result)| result).collect()
        }
        Err(error) => {
            let other =
                || AppError::Store(StoreError::Aborted(format!("others could not be written: {error}")));
            (0..count).map(|_| Err(error.outage().unwrap_or_else(other))).collect()
        }
    }
}

impl Depot {
    /// Runs a unit of work that reads, decides and writes under a guard, in one transaction with others that come at the
    /// same time, and again when somebody else was faster. `locks` names what it locks first, and keeps locked until all
    /// of them are committed.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) async fn write_together<T: Send + 'static>(
        &self,
        locks: String,
        work: impl Fn(&mut Conn<'_>) -> Result<T, AppError> + Send + Sync + 'static,
    ) -> Result<T, AppError> {
        let work: Work = Box::new(move |conn| {
            let written: Written = Box::new(work(conn)?);
            Ok(written)
        });
        let lost =
            || AppError::Store(StoreError::Aborted("the batch of a small write was aborted".to_owned()));
        let written = self.small_writes.submit(SmallWrite { depot: self.clone(), locks, work }).await??;
        written.downcast().map(|written| *written).map_err(|_| lost())
    }
}
