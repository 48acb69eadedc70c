//! The second carrier: subscriptions that are activated with the sale.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use simdepot_carrier_sps::{LocalTurns, Sps, SpsAccount, SpsSettings, TokenCredentials};
use simdepot_carrier_twin::requests::RecordedRequest;
use simdepot_carrier_twin::sps::{Effect, SpsConfig, SpsTwin, sps_delivery_file};
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::carrier::{Carrier, Turns};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{IdGenerator, RandomIds};
use simdepot_domain::line::LineAction;
use simdepot_domain::pool::{DEFAULT_ACTIVATED, PoolSettings};
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;

use super::{Refused, TestCarrier, WORKING_MS};
use crate::depot::{ACCOUNT, WEBHOOK_SECRET, pool_settings};

/// The account of a twin of the second carrier.
pub fn wholesale_account(twin: &SpsTwin, base_url: &str, timeout: Duration) -> SpsAccount {
    let config = twin.config().clone();
    SpsAccount {
        account: ACCOUNT.to_owned(),
        base_url: base_url.to_owned(),
        token_url: None,
        token_credentials: TokenCredentials::default(),
        scope: None,
        client_id: config.client_id,
        client_secret: config.client_secret,
        wholesale_customer_id: config.wholesale_customer_id,
        webhook_secret: Some(Secret::new(WEBHOOK_SECRET)),
        timeout,
        max_requests_per_second: 2_000,
        settings: SpsSettings::default(),
    }
}

impl TestCarrier for SpsTwin {
    const PRODUCT: Option<&'static str> = None;
    const SALE: CallName = CallName::Activate;
    const COMMAND: CallName = CallName::Status;
    const SIGNATURE: &'static str = "x-signature-256";
    const EVENTS_PROVE: bool = false;

    fn sandbox() -> Self {
        Self::new(SpsConfig::sandbox())
    }

    fn prepare(&mut self) {
        let assumptions = self.assumptions_mut();
        assumptions.pickup_delay_ms = WORKING_MS / 3;
        assumptions.completion_delay_ms = WORKING_MS;
    }

    fn open_lines(&mut self) {}

    fn adapter(
        &self,
        base_url: &str,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        turns: Arc<dyn Turns>,
    ) -> Arc<dyn Carrier> {
        Arc::new(Sps::new(wholesale_account(self, base_url, timeout), clock, turns).expect("the adapter"))
    }

    fn printed(&self, base_url: &str) -> String {
        let account = wholesale_account(self, base_url, Duration::from_secs(1));
        let adapter = Sps::new(account.clone(), Arc::new(SystemClock), Arc::new(LocalTurns::default()));
        format!("{account:?}\n{account:#?}\n{adapter:?}\n{adapter:#?}")
    }

    fn client_secret(&self) -> String {
        self.config().client_secret.expose().to_owned()
    }

    fn pool() -> PoolSettings {
        let activation = json!({
            "wholesale_plan_id": "Plan001", "bucket_ref_ids": ["Bucket001"], "location": { "zip": "80120" },
        });
        PoolSettings {
            sellable_statuses: DEFAULT_ACTIVATED.to_vec(),
            activation: Some(activation),
            ..pool_settings()
        }
    }

    fn make_stock(&mut self, count: u32) -> (Vec<Iccid>, String) {
        let sims = self.add_sims(count);
        (sims.iter().map(|sim| sim.iccid.clone()).collect(), sps_delivery_file(&sims))
    }

    fn code_of(&self, iccid: &Iccid) -> String {
        let code = self.sim(iccid.as_str()).and_then(|sim| sim.spec.activation_code.clone());
        code.expect("an eSIM with a code").matching_id().expose().to_owned()
    }

    fn script(&mut self, script: Script) {
        self.add_script(script);
    }

    fn calls(&self, call: CallName) -> u64 {
        Self::calls(self, call)
    }

    fn log(&self) -> &[RecordedRequest] {
        self.requests()
    }

    fn sold(&self, iccid: &Iccid) -> u64 {
        self.effects(iccid.as_str(), Effect::Activate)
    }

    fn sold_in_all(&self) -> u64 {
        self.all_effects().values().filter_map(|counts| counts.get(&Effect::Activate)).sum()
    }

    fn refusal(why: Refused) -> Fault {
        let (status, title) = match why {
            Refused::Profile => (409, "in use"),
            Refused::Request => (400, "bad plan"),
            Refused::Account => (403, "not allowed"),
        };
        Fault::RefuseTitle { status, title: title.to_owned() }
    }

    fn done(&self, iccid: &Iccid, action: LineAction) -> u64 {
        let count = |effect| self.effects(iccid.as_str(), effect);
        match action {
            LineAction::Activate => count(Effect::Activate),
            LineAction::Suspend => count(Effect::Suspend),
            LineAction::Reactivate => count(Effect::Resume) + count(Effect::Reactivate),
            LineAction::Terminate => count(Effect::Cease),
            other => panic!("no test counts {other}"),
        }
    }

    fn stop(&mut self, iccid: &Iccid) {
        self.assumptions_mut().operator_event = "SubscriptionChanged".to_owned();
        self.operator_suspend(iccid.as_str(), SystemClock.now()).expect("a line");
    }

    fn told(&self) -> Vec<Json> {
        self.events().iter().map(|event| event.body.clone()).collect()
    }

    fn news(&self, iccid: &Iccid, status: SimStatus, at: DateTime<Utc>) -> Json {
        let word = match status {
            SimStatus::Active => "Active",
            SimStatus::Suspended => "Suspended",
            other => panic!("no test tells {other}"),
        };
        json!({
            "eventId": RandomIds.uuid().to_string(), "eventType": "SubscriptionChanged",
            "eventTime": at.to_rfc3339(), "subscription": { "iccid": iccid, "status": word },
        })
    }
}
