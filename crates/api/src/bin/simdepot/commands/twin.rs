//! `simdepot twin`.

use std::net::SocketAddr;

use anyhow::{Context as _, anyhow, bail};
use simdepot_carrier_twin::sps::{SpsConfig, SpsTwin};
use simdepot_carrier_twin::{Machine, Twin, TwinConfig, TwinServer, Webhook};
use simdepot_domain::secret::Secret;

use super::signals;
use crate::cli::{TwinCarrier, TwinOffer};
use crate::output::{self, Outcome};
use crate::setup;

pub(super) async fn run(
    listen: SocketAddr,
    account: (TwinCarrier, TwinOffer),
    lines: u32,
    webhook: Option<(String, Secret)>,
) -> anyhow::Result<Outcome> {
    let webhook = webhook.map(|(url, secret)| Webhook::new(&url, secret)).transpose();
    let webhook = webhook.map_err(|error| anyhow!("--webhook-url, --webhook-secret: {error}"))?;
    match account {
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
