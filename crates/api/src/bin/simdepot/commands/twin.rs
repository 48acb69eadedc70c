//! `simdepot twin`.

use std::net::SocketAddr;

use anyhow::{Context as _, anyhow};
use simdepot_carrier_twin::{Twin, TwinConfig, TwinServer, Webhook};
use simdepot_domain::secret::Secret;

use super::signals;
use crate::cli::TwinOffer;
use crate::output::{self, Outcome};
use crate::setup;

pub(super) async fn run(
    listen: SocketAddr,
    offer: TwinOffer,
    lines: u32,
    webhook: Option<(String, Secret)>,
) -> anyhow::Result<Outcome> {
    setup::logs()?;
    let told_to_stop = signals::stop()?;
    let webhook = webhook.map(|(url, secret)| Webhook::new(&url, secret)).transpose();
    let webhook = webhook.map_err(|error| anyhow!("--webhook-url, --webhook-secret: {error}"))?;
    let config = match offer {
        TwinOffer::Travel => TwinConfig::sandbox(),
        TwinOffer::Iot => TwinConfig::iot(),
    };
    let mut twin = Twin::new(TwinConfig { webhook, ..config });
    twin.add_lines(lines);
    let account = twin.config().clone();
    let server = TwinServer::start_with(twin, listen)
        .with_context(|| format!("--listen: cannot listen on {listen}"))?;
    output::line(&format!(
        "carrier twin on {url} with {lines} lines: client_id {client}, mvno_ref {mvno}, cos {cos}, rate_plan {plan}\n\
         delivery file: {url}/_twin/delivery.csv",
        url = server.base_url,
        client = account.client_id,
        mvno = account.mvno_ref,
        cos = account.cos,
        plan = account.rate_plan,
    ))?;
    told_to_stop.await;
    tokio::task::spawn_blocking(move || server.stop()).await??;
    Ok(Outcome::Good)
}
