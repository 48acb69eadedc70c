//! What is measured beside the contenders: how simdepot stands time, size, the other database, and imports.

mod aging;
mod import;
mod pools;
mod reads;
mod sizes;
mod sqlite;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::goals::Ratio;
use crate::load::{self, Plan, Target, Watched};
use crate::options::Options;
use crate::plot::Line;
use crate::sample::Figure;
use crate::setting::Setting;
use crate::{guards, shop, tools};

/// What a scenario has shown.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in a line.
    pub title: String,
    /// What was measured.
    pub rows: Vec<Row>,
    /// The ratios that are its result.
    pub ratios: Vec<Ratio>,
    /// What else is to be said.
    pub notes: Vec<String>,
}

/// One figure of a scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Of what.
    pub what: String,
    /// The size it was measured at, for a picture.
    pub at: Option<u64>,
    /// The figure.
    pub figure: Figure,
    /// In what.
    pub unit: &'static str,
}

impl Row {
    /// A figure over repetitions.
    pub fn new(what: impl Into<String>, values: Vec<f64>, unit: &'static str) -> Self {
        Self { what: what.into(), at: None, figure: Figure::over(values), unit }
    }
}

impl Told {
    /// Its table.
    pub fn markdown(&self) -> String {
        let mut text = format!("\n### {}\n", self.title);
        if !self.ratios.is_empty() {
            text.push_str("\n| | ratio (min–max) | goal |\n|---|--:|--:|\n");
        }
        text.extend(self.ratios.iter().map(Ratio::markdown));
        if !self.rows.is_empty() {
            text.push_str("\n| context | median | min–max | |\n|---|--:|--:|---|\n");
        }
        for Row { what, figure, unit, .. } in &self.rows {
            let _ = writeln!(
                text,
                "| {what} | {:.0} | {:.0}–{:.0} | {unit} |",
                figure.median, figure.min, figure.max
            );
        }
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        text
    }

    /// Its rows as a line of a picture, as multiples of the first one; `None` when they have no sizes.
    pub fn line(&self) -> Option<Line> {
        let first = self.rows.iter().find(|row| row.at.is_some())?.figure.median;
        let point = |row: &Row| {
            let figure = row.figure;
            Some((tools::float(row.at?), figure.median / first, (figure.min / first, figure.max / first)))
        };
        Some(Line {
            title: "simdepot, 64 clients".to_owned(),
            points: self.rows.iter().filter_map(point).collect(),
        })
    }
}

/// Runs those that are asked for, and adds to `told` what they have shown. One that the machine lacks something for is left
/// out, with the reason.
///
/// # Errors
/// When a guard is violated, or anything else fails.
pub fn run(options: &Options, setting: &mut Setting, told: &mut Vec<Told>) -> Result<()> {
    type Scenario = fn(&Options, &mut Setting) -> Result<Vec<Told>>;
    let all: [(&[&str], Scenario); 4] = [
        (&["import", "pool-size", "reads"], pools::run),
        (&["aging", "snapshot"], aging::run),
        (&["sqlite"], sqlite::run),
        (&["shop"], shop::run),
    ];
    for (names, scenario) in all {
        let names: Vec<&str> = names.iter().copied().filter(|name| options.wants_scenario(name)).collect();
        if names.is_empty() {
            continue;
        }
        let done = scenario(options, setting);
        told.extend(setting.unless_missing(&names.join(", "), done)?.into_iter().flatten());
    }
    Ok(())
}

/// Orders a second.
fn rate(outcome: &load::Outcome) -> f64 {
    tools::float(outcome.counted) / outcome.seconds
}

/// Load whose answers are checked.
fn load(target: &Target, plan: Plan) -> Result<load::Outcome> {
    let outcome = load::run(target, plan, Watched { service: None, database: None })?;
    guards::answers(&outcome)?;
    Ok(outcome)
}

/// Load until the rate climbs no more: for three to eight seconds. Returns how many orders that were, and the last rate.
fn until_steady(target: &Target, clients: u32) -> Result<(u64, f64)> {
    let plan = Plan { clients, warm_up: Duration::ZERO, measured: Duration::from_secs(1) };
    let (mut answered, mut rates): (u64, Vec<f64>) = (0, Vec::new());
    loop {
        let outcome = load(target, plan)?;
        answered += outcome.answered;
        let latest = rate(&outcome);
        if steady(&rates, latest) {
            return Ok((answered, latest));
        }
        rates.push(latest);
    }
}

/// Whether a rate is no better than those before it, give or take what they differ by anyway.
fn steady(before: &[f64], latest: f64) -> bool {
    let best = before.iter().copied().fold(0.0, f64::max);
    before.len() >= 7 || (before.len() >= 2 && latest <= best * 1.03)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_climbs_is_not_steady() {
        assert!(!steady(&[], 100.0) && !steady(&[100.0], 90.0));
        assert!(!steady(&[100.0, 120.0], 140.0));
        assert!(steady(&[100.0, 120.0, 140.0], 141.0));
        assert!(steady(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8.0));
    }
}
