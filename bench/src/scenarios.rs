//! What is measured beside the contenders: how simdepot stands time, size, the other database, and imports.

mod aging;
mod import;
mod sizes;
mod sqlite;

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use crate::compare::Setting;
use crate::options::Options;
use crate::plot::Line;
use crate::sample::Figure;
use crate::{shop, tools};

/// What a scenario has shown.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in a line.
    pub title: String,
    /// What was measured.
    pub rows: Vec<Row>,
    /// The ratios that are its result, each with its goal.
    pub ratios: Vec<(String, f64, &'static str)>,
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
        let (median, min, max) = tools::median(values);
        Self { what: what.into(), at: None, figure: Figure { median, min, max }, unit }
    }
}

impl Told {
    /// Its table.
    pub fn markdown(&self) -> String {
        let mut text = format!("\n### {}\n", self.title);
        if !self.ratios.is_empty() {
            text.push_str("\n| | ratio | goal |\n|---|--:|--:|\n");
        }
        for (what, ratio, goal) in &self.ratios {
            let _ = writeln!(text, "| {what} | **{ratio:.2}** | {goal} |");
        }
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

/// Runs those that are asked for. One that cannot run is left out, with the reason.
///
/// # Errors
/// Never: a scenario that fails is told of.
pub fn run(options: &Options, setting: &mut Setting) -> Result<Vec<Told>> {
    type Scenario = fn(&Options, &mut Setting) -> Result<Vec<Told>>;
    let all: [(&[&str], Scenario); 5] = [
        (&["aging", "snapshot"], aging::run),
        (&["pool-size"], sizes::run),
        (&["sqlite"], sqlite::run),
        (&["import"], import::run),
        (&["shop"], shop::run),
    ];
    let mut told = Vec::new();
    for (names, scenario) in all {
        if !names.iter().any(|name| options.wants_scenario(name)) {
            continue;
        }
        match scenario(options, setting) {
            Ok(more) => told.extend(more),
            Err(error) => setting.skip(&format!("{}: {error:#}", names.join(", "))),
        }
    }
    Ok(told)
}
