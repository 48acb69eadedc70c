//! The command line. What it does not say comes from the environment (`simdepot_api::config`).

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use simdepot_domain::channel::{ChannelName, PoolName, Scope};
use simdepot_domain::delivery::Format;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::import::OnError;
use strum::VariantArray;

use crate::commands::TwinArgs;

/// Stock of eSIM and SIM profiles.
///
/// Without a command it serves the API. Without a carrier account in simdepot.toml it is a sandbox.
#[derive(Debug, Parser)]
#[command(name = "simdepot", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API and work on orders (the default)
    Serve,
    /// Apply pending migrations and end
    Migrate,
    /// Import a delivery file or a fleet report into a pool; exit code 1 when rows are rejected
    Import(ImportArgs),
    /// Print the OpenAPI document
    Openapi,
    /// Keep API keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Check each carrier account's credentials and rights; changes nothing, exit code 1 when something is missing
    Doctor,
    /// Recompute the stock from the event log, beside a live server too; exit code 1 on any difference
    Verify(VerifyArgs),
    /// Compare every profile with its carrier, beside a live server too; exit code 1 when something differs or cannot be read
    Reconcile {
        /// Take the lines of this pool's carrier account which the stock lacks into the pool
        #[arg(long, value_name = "POOL")]
        adopt_into: Option<PoolName>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a carrier's twin alone
    Twin(TwinArgs),
    /// Show the QR code of a profile sold in the channel `default`; counts as a reveal
    Qr {
        /// The profile
        iccid: Iccid,
    },
    /// Ask the server on this machine whether it is ready; exit code 1 when it is not
    Healthcheck,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The delivery file
    pub(crate) file: PathBuf,
    /// The pool that it goes into
    #[arg(long)]
    pub(crate) pool: PoolName,
    /// Check the file and import nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How the file is written: `delivery` or `park`
    #[arg(long, default_value = "delivery", value_parser = one_of::<Format>)]
    pub(crate) format: Format,
    /// What a rejected row does: `all` imports nothing, `skip` imports the others
    #[arg(long, default_value = "all", value_parser = one_of::<OnError>)]
    pub(crate) on_error: OnError,
    /// Last moment of sale (RFC 3339)
    #[arg(long)]
    pub(crate) sell_by: Option<DateTime<Utc>>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A file of checkpoints that was kept outside the database; several may be given, the rotated ones of a file
    /// among them. SIMDEPOT_CHECKPOINT_FILE unless given
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoints: Vec<PathBuf>,
    /// With which checkpoint keeping them began: earlier ones are not missed
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) checkpoints_since: i64,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key and print it; it is shown this once
    Create(CreateKeyArgs),
    /// Wrap everything again with SIMDEPOT_ENCRYPTION_KEY, beside running servers; what
    /// SIMDEPOT_ENCRYPTION_KEY_PREVIOUS wraps is opened with that
    RotateEncryption {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateKeyArgs {
    /// What it is for
    #[arg(long)]
    pub(crate) name: String,
    /// The channel (storefront) that it belongs to
    #[arg(long)]
    pub(crate) channel: ChannelName,
    /// What it may do; repeat it for several scopes
    #[arg(long = "scope", required = true, value_parser = one_of::<Scope>)]
    pub(crate) scopes: Vec<Scope>,
    /// When it stops working (RFC 3339)
    #[arg(long)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// Parses a value of a closed set; the error lists the set.
fn one_of<T: FromStr + VariantArray + Display>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| {
        let known: Vec<String> = T::VARIANTS.iter().map(ToString::to_string).collect();
        format!("one of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Option<Command>, String> {
        let words = std::iter::once("simdepot").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.command).map_err(|error| error.to_string())
    }

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves() {
        assert!(parse("").unwrap().is_none());
        assert!(matches!(parse("serve").unwrap(), Some(Command::Serve)));
    }

    #[test]
    fn an_import_has_safe_defaults() {
        let Some(Command::Import(args)) = parse("import a.csv --pool travel-world").unwrap() else {
            panic!("an import")
        };
        assert_eq!((args.format, args.on_error, args.dry_run), (Format::Delivery, OnError::All, false));
        assert!(parse("import a.csv").unwrap_err().contains("--pool"));
        assert!(parse("import a.csv --pool No").is_err());
        let format = parse("import a.csv --pool p --format xls").unwrap_err();
        assert!(format.contains("one of delivery, park"), "{format}");
        assert!(parse("import a.csv --pool p --sell-by tomorrow").is_err());
    }

    #[test]
    fn a_key_needs_scopes() {
        let line = "keys create --name shop --channel web --scope storefront --scope stock";
        let Some(Command::Keys(KeysCommand::Create(args))) = parse(line).unwrap() else { panic!("a key") };
        assert_eq!(args.scopes, [Scope::Storefront, Scope::Stock]);
        assert!(parse("keys create --name shop --channel web").is_err());
        let scope = parse("keys create --name s --channel web --scope root").unwrap_err();
        assert!(scope.contains("storefront"), "{scope}");
    }

    #[test]
    fn an_iccid_is_one() {
        assert!(parse("qr 12AB").is_err());
    }
}
