//! `bench`: everything in one run.

use std::process::ExitCode;

use anyhow::Result;
use bench::compare::{self, Setting};
use bench::options::{Cli, Command, Options};
use bench::peers::Installed;
use bench::report::Report;
use bench::sample::Samples;
use bench::tools::say;
use bench::{echo, scenarios};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Echo { port }) => echo::serve(port).map(|()| true),
        None => all(&cli.options.settled()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures what is asked for and writes the report; `false` when a contender wrote other rows than simdepot.
fn all(options: &Options) -> Result<bool> {
    options.check()?;
    let own = std::env::current_exe()?;
    let binary = compare::find_binary(options.binary.as_deref(), &own)?.canonicalize()?;
    std::fs::create_dir_all(options.out.as_path())?;
    let cache = options.out.canonicalize()?;
    let installed = Installed::below(&cache);
    let mut setting = Setting { binary, own, installed, cache, missing: Vec::new() };
    let mut samples = Samples::default();
    for storage in options.storage.clone() {
        compare::run(options, &mut setting, storage, &mut samples)?;
    }
    let told = scenarios::run(options, &mut setting)?;
    let differences = compare::same_rows(&samples);
    let report = Report::new(options, samples, told, setting.missing, differences.clone());
    report.write(options.out.as_path())?;
    say(&report.markdown());
    Ok(differences.is_empty())
}
