//! The first carrier: pre-activated lines, on which bundles are sold.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use simdepot_carrier_transatel::{LocalTurns, Transatel};
use simdepot_carrier_twin::events::TwinEvent;
use simdepot_carrier_twin::requests::RecordedRequest;
use simdepot_carrier_twin::webhook::SIGNATURE_HEADER;
use simdepot_carrier_twin::{
    CallName, Fault, LineOperation, Script, SuspendedBy, Twin, TwinConfig, delivery,
};
use simdepot_domain::carrier::{Carrier, Turns};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{IdGenerator, RandomIds};
use simdepot_domain::line::LineAction;
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::sim::SimStatus;

use super::{Refused, TestCarrier, WORKING_MS};
use crate::depot::{PRODUCT, account_of, pool_settings};

impl TestCarrier for Twin {
    const PRODUCT: Option<&'static str> = Some(PRODUCT);
    const SALE: CallName = CallName::Order;
    const COMMAND: CallName = CallName::LineWrite;
    const SIGNATURE: &'static str = SIGNATURE_HEADER;
    const EVENTS_PROVE: bool = true;

    fn sandbox() -> Self {
        Self::new(TwinConfig::sandbox())
    }

    fn prepare(&mut self) {
        self.assumptions_mut().sim_search_lag_seconds = 0;
    }

    fn open_lines(&mut self) {
        let assumptions = self.assumptions_mut();
        assumptions.connectivity_open = true;
        assumptions.transaction_delay_ms = WORKING_MS;
    }

    fn adapter(
        &self,
        base_url: &str,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        turns: Arc<dyn Turns>,
    ) -> Arc<dyn Carrier> {
        let account = account_of(self.config(), base_url, timeout);
        Arc::new(Transatel::new(account, clock, turns).expect("the adapter"))
    }

    fn printed(&self, base_url: &str) -> String {
        let account = account_of(self.config(), base_url, Duration::from_secs(1));
        let adapter = Transatel::new(account.clone(), Arc::new(SystemClock), Arc::new(LocalTurns::default()));
        format!("{account:?}\n{account:#?}\n{adapter:?}\n{adapter:#?}")
    }

    fn client_secret(&self) -> String {
        self.config().client_secret.expose().to_owned()
    }

    fn pool() -> PoolSettings {
        pool_settings()
    }

    fn make_stock(&mut self, count: u32) -> (Vec<Iccid>, String) {
        let lines = self.add_lines(count);
        (lines.iter().map(|line| line.iccid.clone()).collect(), delivery::delivery_file(&lines))
    }

    fn code_of(&self, iccid: &Iccid) -> String {
        let code = self.line(iccid.as_str()).and_then(|line| line.spec.activation_code.clone());
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
        let msisdn = self.line(iccid.as_str()).and_then(|line| line.msisdn.clone()).expect("a line");
        let sold = self.orders().iter().filter(|order| order.msisdn == msisdn.as_str()).count();
        u64::try_from(sold).unwrap_or(u64::MAX)
    }

    fn sold_in_all(&self) -> u64 {
        u64::try_from(self.orders().len()).unwrap_or(u64::MAX)
    }

    fn refusal(why: Refused) -> Fault {
        let (status, title) = match why {
            Refused::Profile => (400, "SUBSCRIBER_NOT_FOUND"),
            Refused::Request => (400, "BAD_REQUEST"),
            Refused::Account => (402, "INSUFFICIENT_FUND"),
        };
        Fault::RefuseTitle { status, title: title.to_owned() }
    }

    fn done(&self, iccid: &Iccid, action: LineAction) -> u64 {
        let operation = match action {
            LineAction::Activate => LineOperation::Activate,
            LineAction::Suspend => LineOperation::Suspend,
            LineAction::Reactivate => LineOperation::Reactivate,
            LineAction::Terminate => LineOperation::Terminate,
            other => panic!("no test counts {other}"),
        };
        self.line_writes(iccid.as_str(), operation).done
    }

    fn stop(&mut self, iccid: &Iccid) {
        self.suspend_line(iccid, SuspendedBy::Operator, SystemClock.now()).expect("a line");
    }

    fn told(&self) -> Vec<Json> {
        self.events().iter().map(TwinEvent::envelope).collect()
    }

    fn news(&self, iccid: &Iccid, status: SimStatus, at: DateTime<Utc>) -> Json {
        let word = match status {
            SimStatus::Active => "REACTIVATED",
            SimStatus::Suspended => "SUSPENDED",
            other => panic!("no test tells {other}"),
        };
        let kind = format!("CONNECTIVITY-MANAGEMENT/SUBSCRIBER/{word}");
        let id = RandomIds.uuid().to_string();
        json!({
            "header": { "eventId": id, "eventType": kind, "eventDate": at.to_rfc3339() },
            "body": { "simSerial": iccid },
        })
    }
}
