//! What a run tells: JSON with every sample, Markdown with the tables, pictures.

mod tables;

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::cluster::{SETTINGS, Storage};
use crate::compare::same_rows;
use crate::contender::Contender;
use crate::goals::{self, Ratio, Reached};
use crate::options::Options;
use crate::plot::{self, Line};
use crate::process;
use crate::sample::Samples;
use crate::scenarios::Told;

/// A run's results.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where it ran.
    machine: String,
    /// How busy that was at the end.
    load_average: f64,
    /// How long each measurement took, and how often it was repeated.
    seconds: u64,
    repetitions: u32,
    quick: bool,
    /// Why the run ended before its time.
    broken_off: Option<String>,
    /// Each goal, and what was measured of it.
    goals: Vec<Reached>,
    /// PostgreSQL's settings.
    settings: Vec<String>,
    /// What was left out, and why.
    missing: Vec<String>,
    /// Where contenders wrote other rows than simdepot.
    differences: Vec<String>,
    samples: Samples,
    scenarios: Vec<Told>,
}

impl Report {
    /// Of a run that has ended.
    pub fn new(
        options: &Options,
        samples: Samples,
        scenarios: Vec<Told>,
        missing: Vec<String>,
        broken_off: Option<String>,
    ) -> Self {
        let storages = [Storage::Simulated, Storage::Disk].into_iter();
        let of_scenarios = scenarios.iter().flat_map(|told| told.ratios.iter().cloned());
        let ratios: Vec<Ratio> =
            storages.flat_map(|storage| tables::ratios(&samples, storage)).chain(of_scenarios).collect();
        Self {
            machine: process::machine(),
            load_average: process::load_average(),
            seconds: options.measured().as_secs(),
            repetitions: options.reps,
            quick: options.quick,
            broken_off,
            goals: goals::reached(&ratios),
            settings: SETTINGS.lines().map(str::to_owned).collect(),
            missing,
            differences: same_rows(&samples),
            samples,
            scenarios,
        }
    }

    /// Where contenders wrote other rows than simdepot.
    pub fn differences(&self) -> &[String] {
        &self.differences
    }

    /// Writes `bench.json`, `bench.md` and the pictures.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("bench.json"), serde_json::to_vec_pretty(self)?)?;
        std::fs::write(folder.join("bench.md"), self.markdown())?;
        for storage in [Storage::Simulated, Storage::Disk] {
            let name = match storage {
                Storage::Simulated => "clients-simulated.svg",
                Storage::Disk => "clients-disk.svg",
            };
            let lines = self.clients_lines(storage);
            if !lines.is_empty() {
                let title = format!("Orders, as a multiple of pgbench's best: {}", storage.title());
                std::fs::write(folder.join(name), plot::svg(&title, "clients", &lines))?;
            }
        }
        let sizes: Vec<Line> = self.scenarios.iter().filter_map(Told::line).collect();
        if !sizes.is_empty() {
            let picture = plot::svg(
                "Orders, as a multiple of those from the smallest pool",
                "profiles in the pool",
                &sizes,
            );
            std::fs::write(folder.join("pool-size.svg"), picture)?;
        }
        Ok(())
    }

    /// Medians by clients, each as a multiple of the database's best per-request rate.
    fn clients_lines(&self, storage: Storage) -> Vec<Line> {
        let Some((_, limit)) = self.samples.best(Contender::PgbenchOne, storage) else { return Vec::new() };
        let with_line = [
            Contender::Simdepot,
            Contender::PgbenchOne,
            Contender::PgbenchStatements,
            Contender::FastifyOne,
            Contender::FastifyStatements,
            Contender::FastapiOne,
            Contender::FastapiStatements,
        ];
        let points = |contender| {
            let clients = self.samples.clients(contender, storage);
            let of = |clients| {
                let rate = self.samples.rate(contender, storage, clients)?;
                Some((
                    f64::from(clients),
                    rate.median / limit.median,
                    (rate.min / limit.median, rate.max / limit.median),
                ))
            };
            clients.into_iter().filter_map(of).collect::<Vec<_>>()
        };
        with_line
            .into_iter()
            .map(|contender| Line { title: contender.title().to_owned(), points: points(contender) })
            .filter(|line| !line.points.is_empty())
            .collect()
    }

    /// The tables.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "Machine: {}; load average at the end {:.1}. {} repetitions of {} s each, behind 1 to 3 s of warm-up{}. Everything (load, service, \
             PostgreSQL) shares it. Ratios carry over to other machines, absolute figures do not.\n\nPostgreSQL: {}.\n",
            self.machine,
            self.load_average,
            self.repetitions,
            self.seconds,
            if self.quick { " (--quick: no result to publish)" } else { "" },
            self.settings.join(", ")
        );
        let broken_off = self.broken_off.iter().map(|error| format!("broken off: {}", error.trim()));
        for line in self.missing.iter().chain(&self.differences).cloned().chain(broken_off) {
            text.push_str(&format!("\n**{line}**\n"));
        }
        text.push_str(&goals::markdown(&self.goals));
        for storage in [Storage::Simulated, Storage::Disk] {
            text.push_str(&tables::of_storage(&self.samples, storage));
        }
        for told in &self.scenarios {
            text.push_str(&told.markdown());
        }
        text
    }
}
