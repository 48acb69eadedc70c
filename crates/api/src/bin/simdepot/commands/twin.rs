//! `simdepot twin`.

use std::net::SocketAddr;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use simdepot_carrier_twin::sps::{SpsConfig, SpsTwin};
use simdepot_carrier_twin::{Machine, Twin, TwinConfig, TwinServer, Webhook};
use simdepot_domain::secret::Secret;

use super::signals;
use crate::output::{self, Outcome};
use crate::setup;

#[derive(Debug, Args)]
pub(crate) struct TwinArgs {
    /// Its address
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Which carrier's APIs it has
    #[arg(long, value_enum, default_value_t = TwinCarrier::Transatel)]
    carrier: TwinCarrier,
    /// Which of Transatel's accounts it plays: travel eSIMs, or IoT lines that may be managed
    #[arg(long, value_enum, default_value_t = TwinOffer::Travel)]
    offer: TwinOffer,
    /// Lines that it begins with
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    lines: u32,
    /// Where it posts its events: for simdepot, its URL and /carrier-events/ACCOUNT
    #[arg(long, requires = "webhook_secret")]
    webhook_url: Option<String>,
    /// What it signs them with: the account's webhook_secret
    #[arg(long, requires = "webhook_url")]
    webhook_secret: Option<Secret>,
}

/// Which carrier a twin stands in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TwinCarrier {
    /// Transatel.
    Transatel,
    /// An operator with the SPS APIs.
    Sps,
}

/// Which of Transatel's offers a twin plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TwinOffer {
    /// Service Provider Connect.
    Travel,
    /// IoT Connect with capped plans.
    Iot,
}

pub(super) async fn run(args: TwinArgs) -> anyhow::Result<Outcome> {
    let TwinArgs { listen, carrier, offer, lines, webhook_url, webhook_secret } = args;
    let webhook = webhook_url.zip(webhook_secret);
    let webhook = webhook.map(|(url, secret)| Webhook::new(&url, secret)).transpose();
    let webhook = webhook.map_err(|error| anyhow!("--webhook-url, --webhook-secret: {error}"))?;
    match (carrier, offer) {
        (TwinCarrier::Transatel, offer) => {
            let config = match offer {
                TwinOffer::Travel => TwinConfig::sandbox(),
                TwinOffer::Iot => TwinConfig::iot(),
            };
            let mut twin = Twin::new(TwinConfig { webhook, ..config });
            twin.add_lines(lines);
            let settings = transatel_settings(twin.config());
            serve(twin, listen, lines, &settings).await
        }
        (TwinCarrier::Sps, TwinOffer::Travel) => {
            let mut twin = SpsTwin::new(SpsConfig { webhook, ..SpsConfig::sandbox() });
            twin.add_sims(lines);
            let settings = twin.config().summary();
            serve(twin, listen, lines, &settings).await
        }
        (TwinCarrier::Sps, TwinOffer::Iot) => {
            bail!("--offer: the offers are Transatel's; leave it out with --carrier sps")
        }
    }
}

async fn serve(
    twin: impl Machine,
    listen: SocketAddr,
    lines: u32,
    settings: &str,
) -> anyhow::Result<Outcome> {
    setup::logs()?;
    let told_to_stop = signals::stop()?;
    let server = TwinServer::start_with(twin, listen)
        .with_context(|| format!("--listen: cannot listen on {listen}"))?;
    output::line(&format!(
        "carrier twin on {url} with {lines} lines: {settings}\n\
         delivery file: {url}/_twin/delivery.csv",
        url = server.base_url,
    ))?;
    told_to_stop.await;
    tokio::task::spawn_blocking(move || server.stop()).await??;
    Ok(Outcome::Good)
}

fn transatel_settings(account: &TwinConfig) -> String {
    format!(
        "client_id {client}, mvno_ref {mvno}, cos {cos}, rate_plan {plan}",
        client = account.client_id,
        mvno = account.mvno_ref,
        cos = account.cos,
        plan = account.rate_plan,
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Result<TwinArgs, String> {
        let words = std::iter::once("simdepot").chain(line.split_whitespace());
        match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Some(Command::Twin(args)) => Ok(args),
            other => panic!("a twin, not {other:?}"),
        }
    }

    #[test]
    fn the_twin_listens_on_loopback_unless_told() {
        let TwinArgs { listen, lines, carrier, offer, .. } = parse("twin").unwrap();
        assert_eq!(carrier, TwinCarrier::Transatel);
        assert_eq!((listen.to_string().as_str(), lines, offer), ("127.0.0.1:8090", 200, TwinOffer::Travel));
        let iot = parse("twin --offer iot").unwrap();
        assert_eq!(iot.offer, TwinOffer::Iot);
        let sps = parse("twin --carrier sps --lines 5").unwrap();
        assert_eq!((sps.carrier, sps.lines), (TwinCarrier::Sps, 5));
        let wired = parse("twin --webhook-url http://127.0.0.1:8080/x --webhook-secret SESAME").unwrap();
        assert!(!format!("{wired:?}").contains("SESAME"));
        assert!(parse("twin --webhook-url http://127.0.0.1:8080/x").is_err());
    }
}
