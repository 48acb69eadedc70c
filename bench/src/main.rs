//! `bench`: everything in one run.

use std::process::ExitCode;

use anyhow::{Result, bail};
use bench::compare;
use bench::options::{Cli, Command, Options};
use bench::peers::Installed;
use bench::report::Report;
use bench::sample::Samples;
use bench::scenarios::Told;
use bench::setting::{self, Setting};
use bench::tools::say;
use bench::{echo, plan, scenarios};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Echo { port }) => echo::serve(port),
        None => all(&cli.options.settled()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures what is asked for and writes the report, of what there is when something ends the run.
fn all(options: &Options) -> Result<()> {
    options.check()?;
    let own = std::env::current_exe()?;
    let binary = setting::find_binary(options.binary.as_deref(), &own)?.canonicalize()?;
    std::fs::create_dir_all(options.out.as_path())?;
    let cache = options.out.canonicalize()?;
    let installed = Installed::below(&cache);
    let mut at_hand = Setting { binary, own, installed, cache, missing: Vec::new() };
    say(&plan::told(options));
    let (mut samples, mut told) = (Samples::default(), Vec::new());
    let done = measure(options, &mut at_hand, &mut samples, &mut told);
    let broken_off = done.as_ref().err().map(|error| format!("{error:#}"));
    let report = Report::new(options, samples, told, at_hand.missing, broken_off);
    report.write(options.out.as_path())?;
    say(&report.markdown());
    done?;
    if !report.differences().is_empty() {
        bail!("contenders wrote other rows than simdepot: {}", report.differences().join("; "));
    }
    Ok(())
}

fn measure(
    options: &Options,
    setting: &mut Setting,
    samples: &mut Samples,
    told: &mut Vec<Told>,
) -> Result<()> {
    for storage in options.storage.clone() {
        compare::run(options, setting, storage, samples)?;
    }
    scenarios::run(options, setting, told)
}
