//! The `simdepot` command.

mod cli;
mod commands;
mod output;
mod progress;
mod setup;

use std::process::ExitCode;

use clap::Parser;

use cli::Cli;
use output::Outcome;

#[tokio::main]
async fn main() -> ExitCode {
    match commands::run(Cli::parse()).await {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::FAILURE,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
