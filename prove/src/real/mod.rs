//! The run with real crashes: the `simdepot` binary over HTTP, real databases, a carrier that loses a third of its
//! answers, and `kill -9`.
//!
//! Nothing here is virtual. Storefronts place orders under load until every one of them is acknowledged; meanwhile
//! the processes of simdepot are killed, and with PostgreSQL its server is stopped at once, as by a power cut. Then
//! every acknowledged order must be fulfilled with exactly one bundle at the carrier, the feed must have no gap, and
//! `simdepot verify` must find nothing.

mod cluster;
mod depot;
mod load;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use simdepot_carrier_twin::scripts::Matches;
use simdepot_carrier_twin::{CallName, Fault, Script, TwinConfig, TwinServer};
use strum::{Display, EnumString};

use crate::rng::Rng;
use cluster::Cluster;
use depot::Deployment;
use load::Load;

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
    /// How many orders.
    pub orders: usize,
    /// How often a process is killed.
    pub kills: usize,
    /// The binary; beside this one when absent.
    pub binary: Option<PathBuf>,
    /// Decides the moments of the kills.
    pub seed: u64,
}

/// The pool of the run.
const POOL: &str = "world";
const PRODUCT: &str = "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D";
/// How long everything may take to be found out when nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs it. Returns what was not kept.
///
/// # Errors
/// When a part cannot be started or asked.
pub async fn run(plan: &RealPlan, say: &(dyn Fn(&str) + Send + Sync)) -> Result<Vec<String>> {
    // Fails only when a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let twin = TwinServer::start(TwinConfig::sandbox(), "127.0.0.1:0")?;
    let cluster = match plan.database {
        Database::Sqlite => None,
        Database::Postgres => Some(Cluster::start()?),
    };
    let url = cluster.as_ref().map(Cluster::url);
    let mut deployment = Deployment::make(plan.binary.clone(), &twin.base_url, url, plan.processes)?;
    deployment.start_all().await?;
    stock(&deployment, &twin, plan.orders).await?;
    bad_weather(&twin);
    say(&format!("{} with {} process(es): {} orders under load", plan.database, plan.processes, plan.orders));

    let begun = Instant::now();
    let load = Arc::new(Load::new(deployment.addresses(), deployment.key(), plan.orders, POOL, PRODUCT));
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
    twin.twin().clear_scripts();
    let mut found = wait_until_fulfilled(&deployment, &load).await?;
    found.extend(check_carrier(&deployment, &load, &twin).await?);
    found.extend(check_feed(&deployment).await?);
    let (verified, told) = deployment.verify()?;
    if !verified {
        found.push(format!("simdepot verify finds: {told}"));
    }
    say(&format!("all of it decided {:.1} s after the first order", begun.elapsed().as_secs_f64()));
    deployment.stop();
    Ok(found)
}

/// A pool, and enough lines in it.
async fn stock(deployment: &Deployment, twin: &TwinServer, orders: usize) -> Result<()> {
    let pool = json!({ "pool": POOL, "carrier_account": "spc", "name": "World" });
    let (status, answer) = deployment.call(0, "POST", "/v1/pools", Some(&pool)).await?;
    if status != 201 {
        bail!("the pool was answered {status}: {answer}");
    }
    let count = u32::try_from(orders + 30).unwrap_or(u32::MAX);
    let lines = {
        let mut twin = twin.twin();
        twin.assumptions_mut().sim_search_lag_seconds = 0;
        twin.add_lines(count)
    };
    let file = simdepot_carrier_twin::delivery::delivery_file(&lines);
    let (status, answer) = deployment.import(POOL, file).await?;
    let id = answer.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !matches!(status, 201 | 202) {
        bail!("the import was answered {status}: {answer}");
    }
    for _ in 0..200 {
        let (_, import) = deployment.call(0, "GET", &format!("/v1/imports/{id}"), None).await?;
        match import.get("status").and_then(Value::as_str) {
            Some("completed") => return Ok(()),
            Some("queued" | "running") => tokio::time::sleep(Duration::from_millis(100)).await,
            other => bail!("the import is {other:?}: {import}"),
        }
    }
    bail!("the import does not end")
}

/// A tenth of the orders is taken and the connection dropped, a tenth is answered 503 (half of them taken), a tenth
/// is taken and answered 504.
fn bad_weather(twin: &TwinServer) {
    let mut twin = twin.twin();
    for (fault, chance) in [
        (Fault::DropAfterApply, 100),
        (Fault::Status503Before, 50),
        (Fault::Status503AfterApply, 50),
        (Fault::Status504AfterApply, 100),
    ] {
        twin.add_script(Script {
            call: CallName::Order,
            fault,
            times: None,
            probability_per_mille: Some(chance),
            matches: Matches::default(),
        });
    }
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

/// Every order has its profile alone, and exactly one bundle on it; the carrier has no other.
async fn check_carrier(deployment: &Deployment, load: &Load, twin: &TwinServer) -> Result<Vec<String>> {
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
    let twin = twin.twin();
    for line in twin.lines() {
        let iccid = line.spec.iccid.as_str();
        let plans = twin.subscriptions_of(line.spec.msisdn()).len();
        let expected = usize::from(owners.contains_key(iccid));
        if plans != expected {
            found.push(format!("{iccid} should have {expected} bundle(s), the carrier has {plans}"));
        }
    }
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
