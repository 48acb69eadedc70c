//! The carriers of a run: twins over HTTP, their stock, their bad weather, and what they have in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};
use simdepot_carrier_twin::scripts::Matches;
use simdepot_carrier_twin::sps::{Effect, SpsConfig, SpsTwin, sps_delivery_file};
use simdepot_carrier_twin::{CallName, Fault, Script, Twin, TwinConfig, TwinServer, Webhook};
use simdepot_domain::secret::Secret;

use super::depot::Deployment;
use crate::sim::Carriers;

const PRODUCT: &str = "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D";
const WEBHOOK_SECRET: &str = "webhook-secret";
/// How long one call to a carrier may take: short, so that lost answers are soon looked into.
const TIMEOUT_MS: u32 = 2_000;

/// The twins that the run has.
pub(super) struct Twins {
    transatel: Option<TwinServer<Twin>>,
    wholesale: Option<TwinServer<SpsTwin>>,
}

impl Twins {
    /// Starts them.
    pub(super) fn start(carriers: Carriers) -> Result<Self> {
        let transatel = match carriers {
            Carriers::Wholesale => None,
            _ => Some(TwinServer::start(TwinConfig::sandbox(), "127.0.0.1:0")?),
        };
        let wholesale = match carriers {
            Carriers::Transatel => None,
            _ => Some(TwinServer::start_with(SpsTwin::new(SpsConfig::sandbox()), "127.0.0.1:0")?),
        };
        Ok(Self { transatel, wholesale })
    }

    /// Their accounts, as the configuration has them.
    pub(super) fn configuration(&self) -> String {
        let mut text = String::new();
        let rest = format!("timeout_ms = {TIMEOUT_MS}\nmax_requests_per_second = 200\n\n");
        if let Some(twin) = &self.transatel {
            let (account, url) = (TwinConfig::sandbox(), &twin.base_url);
            text += &format!(
                "[[carriers]]\naccount = \"spc\"\nkind = \"transatel\"\nbase_url = \"{url}\"\nclient_id = \"{}\"\n\
                 client_secret = \"{}\"\nmvno_ref = \"{}\"\ncos = \"{}\"\n{rest}",
                account.client_id,
                account.client_secret.expose(),
                account.mvno_ref,
                account.cos
            );
        }
        if let Some(twin) = &self.wholesale {
            let (account, url) = (SpsConfig::sandbox(), &twin.base_url);
            text += &format!(
                "[[carriers]]\naccount = \"wholesale\"\nkind = \"sps\"\nbase_url = \"{url}\"\nclient_id = \"{}\"\n\
                 client_secret = \"{}\"\nwholesale_customer_id = \"{}\"\nwebhook_secret = \"{WEBHOOK_SECRET}\"\n{rest}",
                account.client_id,
                account.client_secret.expose(),
                account.wholesale_customer_id.unwrap_or_default(),
            );
        }
        text
    }

    /// The lines of orders, one for each carrier.
    pub(super) fn goods(&self) -> Vec<Value> {
        let bundle = json!({ "pool": "world", "product": PRODUCT, "quantity": 1 });
        let subscription = json!({ "pool": "home", "quantity": 1 });
        let (bundle, subscription) =
            (self.transatel.as_ref().map(|_| bundle), self.wholesale.as_ref().map(|_| subscription));
        [bundle, subscription].into_iter().flatten().collect()
    }

    /// A pool of each carrier, and enough in it.
    pub(super) async fn stock(&self, deployment: &Deployment, orders: usize) -> Result<()> {
        let count = u32::try_from(orders + 30).unwrap_or(u32::MAX);
        if let Some(twin) = &self.transatel {
            let file = {
                let mut twin = twin.twin();
                twin.assumptions_mut().sim_search_lag_seconds = 0;
                simdepot_carrier_twin::delivery::delivery_file(&twin.add_lines(count))
            };
            let pool = json!({ "pool": "world", "carrier_account": "spc", "name": "World" });
            fill(deployment, &pool, file).await?;
        }
        if let Some(twin) = &self.wholesale {
            let file = {
                let mut twin = twin.twin();
                let url = deployment.events_url("wholesale");
                let webhook =
                    Webhook::new(&url, Secret::new(WEBHOOK_SECRET)).map_err(|error| anyhow!(error))?;
                twin.set_webhook(Some(webhook));
                sps_delivery_file(&twin.add_sims(count))
            };
            let activation = json!({ "wholesale_plan_id": "Plan001", "location": { "zip": "80120" } });
            let pool = json!({
                "pool": "home", "carrier_account": "wholesale", "name": "Home", "activation": activation,
            });
            fill(deployment, &pool, file).await?;
        }
        Ok(())
    }

    /// A tenth of the orders is taken and the connection dropped, a tenth is answered 503 (half of them taken), a tenth
    /// is taken and answered 504. Of the activations some fail later, too.
    pub(super) fn bad_weather(&self) {
        let failure = Fault::LateFailure { code: "E1".to_owned(), message: "the network is busy".to_owned() };
        let faults = [
            (Fault::DropAfterApply, 100),
            (Fault::Status503Before, 50),
            (Fault::Status503AfterApply, 50),
            (Fault::Status504AfterApply, 100),
        ];
        let script = |call, (fault, chance)| Script {
            call,
            fault,
            times: None,
            probability_per_mille: Some(chance),
            matches: Matches::default(),
        };
        if let Some(twin) = &self.transatel {
            let mut twin = twin.twin();
            faults.iter().cloned().for_each(|fault| twin.add_script(script(CallName::Order, fault)));
        }
        if let Some(twin) = &self.wholesale {
            let mut twin = twin.twin();
            let faults = faults.into_iter().chain([(Fault::DropBeforeApply, 50), (failure, 30)]);
            faults.for_each(|fault| twin.add_script(script(CallName::Activate, fault)));
        }
    }

    /// Nothing goes wrong any more.
    pub(super) fn good_weather(&self) {
        if let Some(twin) = &self.transatel {
            twin.twin().clear_scripts();
        }
        if let Some(twin) = &self.wholesale {
            twin.twin().clear_scripts();
        }
    }

    /// What the carriers have that they should not, or have not. `owners` are the orders by SIM.
    pub(super) fn check(&self, owners: &BTreeMap<String, String>) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(twin) = &self.transatel {
            let twin = twin.twin();
            for line in twin.lines() {
                let iccid = line.spec.iccid.as_str();
                let plans = twin.subscriptions_of(line.spec.msisdn()).len();
                let expected = usize::from(owners.contains_key(iccid));
                if plans != expected {
                    found.push(format!("{iccid} should have {expected} bundle(s), the carrier has {plans}"));
                }
            }
        }
        if let Some(twin) = &self.wholesale {
            found.extend(check_subscriptions(&twin.twin(), owners));
        }
        found
    }
}

fn check_subscriptions(twin: &SpsTwin, owners: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for sim in twin.sims() {
        let iccid = sim.spec.iccid.as_str();
        let (activated, expected) =
            (twin.effects(iccid, Effect::Activate), u64::from(owners.contains_key(iccid)));
        if activated != expected {
            found.push(format!("{iccid} should be activated {expected} time(s), and was {activated}"));
        }
    }
    let mut numbers: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for write in twin.received() {
        let number = write.id.as_deref().unwrap_or_default();
        numbers.entry(number).or_default().insert(write.body.to_string());
    }
    let several = numbers.into_iter().filter(|(_, bodies)| bodies.len() > 1);
    found.extend(several.map(|(number, bodies)| format!("{number} was sent as {bodies:?}")));
    found
}

/// Makes a pool and brings a delivery into it.
async fn fill(deployment: &Deployment, pool: &Value, file: String) -> Result<()> {
    let (status, answer) = deployment.call(0, "POST", "/v1/pools", Some(pool)).await?;
    if status != 201 {
        bail!("the pool was answered {status}: {answer}");
    }
    let name = pool.get("pool").and_then(Value::as_str).unwrap_or_default();
    let (status, answer) = deployment.import(name, file).await?;
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
