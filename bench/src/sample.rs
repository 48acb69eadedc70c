//! What was measured, once.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cluster::Storage;
use crate::contender::Contender;
use crate::tools::median;

/// Answer times in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half are faster.
    pub p50: u64,
    /// Nine in ten are faster.
    pub p90: u64,
    /// Ninety-nine in a hundred are faster.
    pub p99: u64,
    /// The slowest.
    pub max: u64,
}

impl Latency {
    /// Out of a histogram of microseconds.
    pub fn of(times: &Histogram<u64>) -> Self {
        let at = |part| times.value_at_quantile(part);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: times.max() }
    }
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Of what.
    pub contender: Contender,
    /// On which storage.
    pub storage: Storage,
    /// Clients at once.
    pub clients: u32,
    /// Which repetition, from 1.
    pub repetition: u32,
    /// Orders per second.
    pub rate: f64,
    /// Answer times.
    pub latency: Latency,
    /// CPU time of the service per order, in microseconds.
    pub service_cpu_micros: f64,
    /// CPU time of PostgreSQL per order, in microseconds.
    pub database_cpu_micros: f64,
    /// CPU time of the load per order, in microseconds.
    pub load_cpu_micros: f64,
    /// Memory of the service in MiB, at the end.
    pub service_mib: f64,
    /// Memory of PostgreSQL in MiB, at the end.
    pub database_mib: f64,
    /// Bytes of log that PostgreSQL wrote per order, warm-up included.
    pub wal_bytes: f64,
    /// Seconds that the feed took to number the last events.
    pub feed_seconds: Option<f64>,
    /// Rows per order written by table.
    pub rows: BTreeMap<String, f64>,
}

/// A figure over repetitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figure {
    /// The one in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Figure {
    /// Over these repetitions; zeros when there is none.
    pub fn over(values: Vec<f64>) -> Self {
        let (median, min, max) = median(values);
        Self { median, min, max }
    }

    /// A figure that was taken once.
    pub fn once(value: f64) -> Self {
        Self { median: value, min: value, max: value }
    }
}

/// All samples of a run.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// A figure of a contender with so many clients; `None` when it was not measured.
    pub fn figure(
        &self,
        (contender, storage, clients): (Contender, Storage, u32),
        of: impl Fn(&Sample) -> f64,
    ) -> Option<Figure> {
        let values: Vec<f64> = self
            .0
            .iter()
            .filter(|sample| {
                sample.contender == contender && sample.storage == storage && sample.clients == clients
            })
            .map(of)
            .collect();
        if values.is_empty() {
            return None;
        }
        Some(Figure::over(values))
    }

    /// Orders per second.
    pub fn rate(&self, contender: Contender, storage: Storage, clients: u32) -> Option<Figure> {
        self.figure((contender, storage, clients), |sample| sample.rate)
    }

    /// With how many clients a contender was measured, in order.
    pub fn clients(&self, contender: Contender, storage: Storage) -> Vec<u32> {
        let of = |sample: &&Sample| sample.contender == contender && sample.storage == storage;
        let mut clients: Vec<u32> = self.0.iter().filter(of).map(|sample| sample.clients).collect();
        clients.sort_unstable();
        clients.dedup();
        clients
    }

    /// The best median of a contender, and with how many clients it is reached.
    pub fn best(&self, contender: Contender, storage: Storage) -> Option<(u32, Figure)> {
        let rates = self
            .clients(contender, storage)
            .into_iter()
            .filter_map(|clients| Some((clients, self.rate(contender, storage, clients)?)));
        rates.max_by(|one, other| one.1.median.total_cmp(&other.1.median))
    }
}
