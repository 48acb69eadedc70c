//! The run with real crashes: the `simdepot` binary over HTTP, real databases, carriers that lose a third of their
//! answers, and `kill -9`.
//!
//! Nothing here is virtual. Storefronts place orders under load until every one of them is acknowledged; meanwhile
//! the processes of simdepot are killed, and with PostgreSQL its server is stopped at once, as by a power cut. Then
//! every acknowledged order must be fulfilled with exactly one bundle or one subscription at its carrier, the feed must have
//! no gap, and `simdepot verify` must find nothing.

mod cluster;
mod depot;
mod load;
mod twins;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use strum::{Display, EnumString};

use crate::rng::Rng;
use crate::sim::Carriers;
use cluster::Cluster;
use depot::Deployment;
use load::Load;
use twins::Twins;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Database {
    /// The embedded one.
    Sqlite,
    /// A throw-away cluster.
    Postgres,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct RealPlan {
    /// On which database.
    pub database: Database,
    /// How many processes of simdepot share it.
    pub processes: usize,
    /// Which carriers there are; orders go to each in turn.
    pub carriers: Carriers,
    /// How many orders.
    pub orders: usize,
    /// How often a process is killed.
    pub kills: usize,
    /// The binary; beside this one when absent.
    pub binary: Option<PathBuf>,
    /// Decides the moments of the kills.
    pub seed: u64,
}

/// How long everything may take to be found out when nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs it. Returns what was not kept.
///
/// # Errors
/// When a part cannot be started or asked.
pub async fn run(plan: &RealPlan, say: &(dyn Fn(&str) + Send + Sync)) -> Result<Vec<String>> {
    // Fails only when a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let twins = Twins::start(plan.carriers)?;
    let cluster = match plan.database {
        Database::Sqlite => None,
        Database::Postgres => Some(Cluster::start()?),
    };
    let url = cluster.as_ref().map(Cluster::url);
    let mut deployment = Deployment::make(plan.binary.clone(), &twins.configuration(), url, plan.processes)?;
    deployment.start_all().await?;
    twins.stock(&deployment, plan.orders).await?;
    twins.bad_weather();
    let (database, carriers) = (plan.database, plan.carriers);
    say(&format!(
        "{database} with {} process(es), carriers {carriers}: {} orders under load",
        plan.processes, plan.orders
    ));

    let begun = Instant::now();
    let load = Arc::new(Load::new(deployment.addresses(), deployment.key(), plan.orders, twins.goods()));
    let storefronts: Vec<_> =
        (0..8).map(|number| tokio::spawn(Arc::clone(&load).storefront(number))).collect();
    let mut rng = Rng::new(plan.seed);
    let mut kills = 0;
    for number in 0..plan.kills {
        let pause = u64::try_from(rng.within(400, 1_800)).unwrap_or(1_000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let victim = number % plan.processes;
        deployment.kill(victim)?;
        kills += 1;
        if let Some(cluster) = &cluster
            && number % 2 == 1
        {
            cluster.restart_at_once()?;
            say("the database server was stopped at once and started again");
        }
        deployment.start(victim).await?;
        say(&format!(
            "process {victim} was killed with {} orders acknowledged, and started again",
            load.acknowledged()
        ));
    }
    for storefront in storefronts {
        storefront.await.context("a storefront")??;
    }
    say(&format!(
        "{} orders acknowledged in {:.1} s, {kills} kills, {} requests",
        load.acknowledged(),
        begun.elapsed().as_secs_f64(),
        load.requests()
    ));
    // Whatever storefronts were told, and in whichever process: it must come true.
    twins.good_weather();
    let mut found = wait_until_fulfilled(&deployment, &load).await?;
    found.extend(check_carriers(&deployment, &load, &twins).await?);
    found.extend(check_feed(&deployment).await?);
    let (verified, told) = deployment.verify()?;
    if !verified {
        found.push(format!("simdepot verify finds: {told}"));
    }
    say(&format!("all of it decided {:.1} s after the first order", begun.elapsed().as_secs_f64()));
    deployment.stop();
    Ok(found)
}

async fn wait_until_fulfilled(deployment: &Deployment, load: &Load) -> Result<Vec<String>> {
    let begun = Instant::now();
    let mut open: Vec<String> = load.orders().into_keys().collect();
    let mut last = BTreeMap::new();
    while !open.is_empty() && begun.elapsed() < PATIENCE {
        let mut still = Vec::new();
        for reference in open {
            let (_, order) = deployment.order(&reference).await?;
            let status = order.get("status").and_then(Value::as_str).unwrap_or("missing").to_owned();
            if status != "fulfilled" {
                still.push(reference.clone());
            }
            last.insert(reference, status);
        }
        open = still;
        if !open.is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    let not = |reference: String| {
        let status = last.get(&reference).cloned().unwrap_or_default();
        format!("the acknowledged order {reference} is {status}")
    };
    Ok(open.into_iter().map(not).collect())
}

/// Every order has its profile alone, and exactly one bundle or subscription on it; the carriers have no other.
async fn check_carriers(deployment: &Deployment, load: &Load, twins: &Twins) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for (reference, id) in load.orders() {
        let (orders, order) = deployment.order(&reference).await?;
        if orders != 1 || order.get("id").and_then(Value::as_str) != Some(id.as_str()) {
            found.push(format!("{reference} was told to be {id}, and is {orders} orders: {order}"));
        }
        let profiles =
            order.pointer("/lines/0/profiles").and_then(Value::as_array).cloned().unwrap_or_default();
        for profile in profiles {
            let iccid = profile.get("iccid").and_then(Value::as_str).unwrap_or_default().to_owned();
            if let Some(other) = owners.insert(iccid.clone(), reference.clone()) {
                found.push(format!("{iccid} is in {other} and in {reference}"));
            }
        }
    }
    found.extend(twins.check(&owners));
    Ok(found)
}

/// The feed counts from 1 without a gap.
async fn check_feed(deployment: &Deployment) -> Result<Vec<String>> {
    let mut last = 0;
    loop {
        let path = format!("/v1/events?after={last}&limit=200");
        let (status, page) = deployment.call(0, "GET", &path, None).await?;
        if status != 200 {
            return Ok(vec![format!("the feed was answered {status}: {page}")]);
        }
        let events = page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
        if events.is_empty() {
            break;
        }
        for event in events {
            let seq = event.get("seq").and_then(Value::as_i64).unwrap_or_default();
            if seq != last + 1 {
                return Ok(vec![format!("the feed goes from {last} to {seq}")]);
            }
            last = seq;
        }
    }
    if last == 0 { Ok(vec!["the feed is empty".to_owned()]) } else { Ok(Vec::new()) }
}
