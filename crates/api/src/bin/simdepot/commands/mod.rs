//! The commands, one file each.

mod doctor;
mod healthcheck;
mod import;
mod keys;
mod migrate;
mod qr;
mod reconcile;
mod serve;
mod signals;
mod twin;
mod verify;

pub(crate) use self::twin::TwinArgs;
use crate::cli::{Cli, Command, KeysCommand};
use crate::output::{self, Outcome};

/// Carries out what the command line says.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<Outcome> {
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => Box::pin(serve::run()).await,
        Command::Migrate => migrate::run().await,
        Command::Import(args) => Box::pin(import::run(args)).await,
        Command::Openapi => {
            output::line(&simdepot_api::openapi::document().to_pretty_json()?)?;
            Ok(Outcome::Good)
        }
        Command::Keys(KeysCommand::Create(args)) => Box::pin(keys::create(args)).await,
        Command::Keys(KeysCommand::RotateEncryption { json }) => {
            Box::pin(keys::rotate_encryption(json)).await
        }
        Command::Doctor => doctor::run().await,
        Command::Verify(args) => Box::pin(verify::run(args)).await,
        Command::Reconcile { adopt_into, json } => Box::pin(reconcile::run(adopt_into, json)).await,
        Command::Twin(args) => Box::pin(twin::run(args)).await,
        Command::Qr { iccid } => Box::pin(qr::run(iccid)).await,
        Command::Healthcheck => tokio::task::spawn_blocking(healthcheck::run).await?,
    }
}
