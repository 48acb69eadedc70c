//! The adapter and the twin, which were written apart from the same pages: what one sends the other must take, and what one
//! tells the other must understand, strictly and in every reading that the pages leave open.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use simdepot_carrier_sps::{
    Exchange, ExchangeAnswer, ExchangeRequest, Failure, IccidLookup, LineIdentifier, LocalTurns, Sps,
    SpsAccount, SpsSettings, TokenCredentials,
};
use simdepot_carrier_twin::sps::{Effect, SpsConfig, SpsTwin, WebhookAuth};
use simdepot_carrier_twin::{CallName, Fault, Script, TwinReply, TwinRequest, Webhook};
use simdepot_domain::carrier::{
    ActivationContext, ActivationOrder, Answered, Carrier, CommandReceipt, Commanded, Concern,
    DeviceBlockOrder, DeviceChangeOrder, DeviceQuery, LineKey, LineOrder, Lost, ProbeResult,
    TransactionReading,
};
use simdepot_domain::carrier_event::{CarrierEvent, LineNews, News};
use simdepot_domain::clock::Clock;
use simdepot_domain::device::{ChangeType, DeviceChange, EsimDelivery};
use simdepot_domain::eid::Eid;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;
use simdepot_domain::line::LineCommand;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;

const PHONE: &str = "2288151828896431";
const OWN_PHONE: &str = "490154203237518";
const EID: &str = "89034011560010000000000000000121";
const HUSH: &str = "hush";

/// The twin, and the time that both live in.
struct World {
    twin: Mutex<SpsTwin>,
    now: Mutex<DateTime<Utc>>,
}

impl Clock for World {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap()
    }
}

struct Wire(Arc<World>);

#[async_trait]
impl Exchange for Wire {
    async fn run(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, Failure> {
        let ExchangeRequest { method, origin: _, path, query, headers, body } = request;
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let request = TwinRequest { method: method.to_owned(), path, query, headers, body };
        let now = self.0.now();
        match self.0.twin.lock().unwrap().handle(now, &request) {
            TwinReply::Answer { status, headers, body, .. } => Ok(ExchangeAnswer { status, headers, body }),
            TwinReply::Drop { .. } => Err(Failure::Lost(Lost::silent("hung up"))),
        }
    }
}

struct Bench {
    world: Arc<World>,
    carrier: Sps,
    iccid: Iccid,
    commands: u32,
}

impl Bench {
    fn new(assumptions: &Value, settings: SpsSettings) -> Self {
        let mut twin = SpsTwin::new(SpsConfig::sandbox());
        twin.assumptions_mut().strict_uuid = true;
        *twin.assumptions_mut() = twin.assumptions().patched(assumptions).unwrap();
        twin.set_webhook(Some(Webhook { url: "http://127.0.0.1:9".to_owned(), secret: Secret::new(HUSH) }));
        let iccid = twin.add_sims(1).remove(0).iccid;
        let now = "2026-03-31T23:30:00Z".parse().unwrap();
        let world = Arc::new(World { twin: Mutex::new(twin), now: Mutex::new(now) });
        let account = SpsAccount {
            account: "wholesale".to_owned(),
            base_url: "http://127.0.0.1:9".to_owned(),
            token_url: None,
            client_id: "sandbox".to_owned(),
            client_secret: Secret::new("sandbox-secret"),
            token_credentials: TokenCredentials::Basic,
            scope: None,
            wholesale_customer_id: Some("920000108464".to_owned()),
            webhook_secret: Some(Secret::new(HUSH)),
            timeout: Duration::from_secs(5),
            max_requests_per_second: u32::MAX,
            settings,
        };
        let exchange = Arc::new(Wire(Arc::clone(&world)));
        let clock: Arc<dyn Clock> = world.clone();
        let carrier = Sps::with_exchange(account, clock, Arc::new(LocalTurns::default()), exchange).unwrap();
        Self { world, carrier, iccid, commands: 0 }
    }

    fn strict() -> Self {
        Self::new(&json!({}), SpsSettings::default())
    }

    fn twin<T>(&self, look: impl FnOnce(&mut SpsTwin) -> T) -> T {
        look(&mut self.world.twin.lock().unwrap())
    }

    fn pass(&self, seconds: i64) {
        *self.world.now.lock().unwrap() += TimeDelta::seconds(seconds);
        let now = self.world.now();
        self.twin(|twin| twin.settle(now));
    }

    fn reference(&mut self) -> String {
        self.commands += 1;
        format!("op_{}", self.commands)
    }

    /// Every notification that is due, authenticated and read.
    fn events(&self) -> Vec<CarrierEvent> {
        let now = self.world.now();
        let mut events = Vec::new();
        while let Some(delivery) = self.twin(|twin| twin.next_delivery(now)) {
            let header = |name: &str| (name == delivery.signature_header).then(|| delivery.signature.clone());
            assert_eq!(self.carrier.authenticate(&header, &delivery.body), Ok(()));
            events.push(self.carrier.event(&delivery.body).unwrap());
            self.twin(|twin| twin.delivery_ended(now, delivery.ticket, Some(204)));
        }
        events
    }

    fn activation(&mut self, parameters: &Value) -> ActivationOrder {
        let pool = json!({ "wholesale_plan_id": "Plan001", "bucket_ref_ids": ["B1"], "location": { "zip": "80202" } });
        let ordered_at = self.world.now();
        let context = ActivationContext { subscriber: "ord_1".to_owned(), quantity: 1, ordered_at };
        let terms = self.carrier.activation_terms(&pool, Some(parameters), &context).unwrap();
        ActivationOrder { reference: self.reference(), iccid: self.iccid.clone(), terms }
    }

    /// Sends, waits, and sees it done in both ways: by asking and by the notification.
    async fn done(&self, commanded: Commanded) -> CarrierEvent {
        let Answered::Done(CommandReceipt::Accepted { transaction: Some(reference) }) = commanded else {
            panic!("{commanded:?}")
        };
        assert_eq!(self.carrier.transaction(&reference).await, Ok(Some(TransactionReading::Pending)));
        self.pass(3);
        assert_eq!(self.carrier.transaction(&reference).await, Ok(Some(TransactionReading::Done)));
        let event = self.events().pop().unwrap();
        let News::Line(LineNews { transaction, failed, hearsay, .. }) = &event.news else {
            panic!("{event:?}")
        };
        assert_eq!((transaction.as_deref(), failed, hearsay), (Some(reference.as_str()), &None, &true));
        event
    }

    async fn active(&mut self) -> Msisdn {
        let order = self.activation(&json!({}));
        let event = self.done(self.carrier.activate(&order).await).await;
        event.msisdn.unwrap()
    }

    fn key(&self, msisdn: Option<&Msisdn>) -> LineKey {
        LineKey { msisdn: msisdn.cloned(), ..LineKey::of(&self.iccid) }
    }

    async fn command(&mut self, command: LineCommand, from: SimStatus, msisdn: Option<&Msisdn>) -> Commanded {
        let order = LineOrder {
            reference: self.reference(),
            iccid: self.iccid.clone(),
            msisdn: msisdn.cloned(),
            from: Some(from),
            rate_plan: None,
            command,
            contact: None,
        };
        self.carrier.command_line(&order).await
    }
}

#[tokio::test]
async fn a_subscription_from_the_sale_to_its_end_and_back() {
    use SimStatus::{Active, Ceased, Suspended};
    for line_identifier in [LineIdentifier::Iccid, LineIdentifier::Msisdn] {
        let mut bench = Bench::new(&json!({}), SpsSettings { line_identifier, ..SpsSettings::default() });
        let order =
            bench.activation(&json!({ "imei": PHONE, "delivery": "qr", "products": [{ "id": "X" }] }));
        let event = bench.done(bench.carrier.activate(&order).await).await;
        assert!(event.activation_code.is_some(), "the code comes with the activation");
        assert_eq!(event.iccid.as_ref(), Some(&bench.iccid));
        let msisdn = event.msisdn.unwrap();
        let sent = bench.twin(|twin| twin.received_as("op_1").next().unwrap().body.clone());
        assert_eq!(sent["billCycleStartDay"], 1, "the 31st is in no other month");
        for (command, from, to) in [
            (LineCommand::Suspend, Active, Suspended),
            (LineCommand::Reactivate, Suspended, Active),
            (LineCommand::Terminate, Active, Ceased),
            (LineCommand::Reactivate, Ceased, Active),
        ] {
            let commanded = bench.command(command, from, Some(&msisdn)).await;
            let event = bench.done(commanded).await;
            assert!(matches!(&event.news, News::Line(news) if news.sim_status == Some(to)), "{event:?}");
            let line = bench.carrier.line(&bench.key(Some(&msisdn))).await.unwrap().unwrap();
            assert_eq!(line.sim_status, Some(to));
        }
        let iccid = bench.iccid.as_str();
        assert_eq!(bench.twin(|twin| twin.effects(iccid, Effect::Activate)), 1);
    }
}

#[tokio::test]
async fn a_reserved_number_and_a_device_of_one_s_own() {
    let mut bench = Bench::strict();
    let number = bench.twin(|twin| twin.reserve("GRID1", None).unwrap());
    let own = json!({
        "msisdn": number, "msisdn_reservation_id": "GRID1", "imei": OWN_PHONE, "eid": EID, "delivery": "qr",
    });
    let order = bench.activation(&own);
    let event = bench.done(bench.carrier.activate(&order).await).await;
    assert_eq!(event.msisdn.unwrap().as_str(), number);
}

/// Whatever becomes of the answer, another sending is the same command.
#[tokio::test]
async fn a_command_sent_twice_is_done_once() {
    let mut bench = Bench::strict();
    let order = bench.activation(&json!({}));
    bench.twin(|twin| twin.add_script(Script::once(CallName::Activate, Fault::DropAfterApply)));
    assert!(matches!(bench.carrier.activate(&order).await, Answered::Unknown(_)));
    bench.done(bench.carrier.activate(&order).await).await;
    let iccid = bench.iccid.as_str();
    assert_eq!(bench.twin(|twin| twin.effects(iccid, Effect::Activate)), 1);
}

#[tokio::test]
async fn what_the_line_does_not_allow_is_refused_now_or_later() {
    let mut bench = Bench::strict();
    let unknown = bench.command(LineCommand::Suspend, SimStatus::Active, None).await;
    assert!(matches!(unknown, Answered::Refused(refusal) if refusal.concerns == Concern::Request));
    bench.active().await;
    let again = bench.activation(&json!({}));
    let refused = bench.carrier.activate(&again).await;
    assert!(
        matches!(&refused, Answered::Refused(refusal) if refusal.concerns == Concern::LineStatus),
        "{refused:?}"
    );
    assert_eq!(bench.carrier.transaction("op_99").await, Ok(None));

    let mut late = Bench::new(&json!({ "state_check": "late" }), SpsSettings::default());
    late.active().await;
    let commanded = late.command(LineCommand::Reactivate, SimStatus::Suspended, None).await;
    let Answered::Done(CommandReceipt::Accepted { transaction: Some(reference) }) = commanded else {
        panic!("{commanded:?}")
    };
    late.pass(3);
    let failed = late.carrier.transaction(&reference).await.unwrap().unwrap();
    assert!(matches!(&failed, TransactionReading::Failed(refusal) if refusal.detail.is_some()), "{failed:?}");
    let event = late.events().pop().unwrap();
    assert!(matches!(&event.news, News::Line(LineNews { failed: Some(_), .. })), "{event:?}");
}

#[tokio::test]
async fn devices_change_and_are_blocked() {
    let mut bench = Bench::strict();
    let msisdn = bench.active().await;
    let line = bench.key(Some(&msisdn));
    let [esim, card] = [false, true].map(|physical| {
        let spec = bench.twin(|twin| twin.add_sims_as(1, physical).remove(0));
        Some(spec.iccid)
    });
    let imei = |text: &str| Some(Imei::parse(text).unwrap());
    let change = |change_type, new_imei, new_iccid| DeviceChange {
        change_type,
        new_imei,
        new_iccid,
        new_eid: None,
        delivery: None,
    };
    let own = DeviceChange {
        new_eid: Some(Eid::parse(EID).unwrap()),
        delivery: Some(EsimDelivery::Qr),
        ..change(ChangeType::DeviceAndEsim, imei(OWN_PHONE), esim)
    };
    for change in
        [change(ChangeType::DeviceOnly, imei(PHONE), None), change(ChangeType::PsimOnly, None, card), own]
    {
        let line = LineKey { iccid: bench.iccid.clone(), ..line.clone() };
        let new_iccid = change.new_iccid.clone();
        let order = DeviceChangeOrder { reference: bench.reference(), line, change };
        bench.done(bench.carrier.change_device(&order).await).await;
        bench.iccid = new_iccid.unwrap_or(bench.iccid);
        let device = bench.carrier.device(&bench.key(Some(&msisdn))).await.unwrap().unwrap();
        assert_eq!(device.iccid.as_ref(), Some(&bench.iccid));
    }
    let imei = imei(OWN_PHONE).unwrap();
    for block in [true, false] {
        let line = bench.key(Some(&msisdn));
        let order = DeviceBlockOrder { reference: bench.reference(), line, imei: imei.clone(), block };
        bench.done(bench.carrier.block_device(&order).await).await;
        assert_eq!(bench.carrier.is_blocked(&imei).await, Ok(block));
        let device = bench.carrier.device(&bench.key(Some(&msisdn))).await.unwrap().unwrap();
        assert_eq!((device.blocked, device.imei.map(|found| found == imei)), (Some(block), Some(true)));
    }
    let model = bench.carrier.device_model(&DeviceQuery::Imei(imei)).await.unwrap().unwrap();
    assert_eq!(model.equipment_type.as_deref(), Some("PHONE"));
    let unknown = DeviceQuery::Imei(Imei::parse("990000000000000").unwrap());
    assert_eq!(bench.carrier.device_model(&unknown).await, Ok(None));
}

/// Whether a command arrived shows in its transaction, and a token that is no longer good is not the command's end.
#[tokio::test]
async fn answers_that_say_little_are_cleared_up() {
    let mut bench = Bench::strict();
    bench.active().await;
    let script = |fault| Script::once(CallName::Status, fault);
    for fault in [Fault::DropBeforeApply, Fault::Status503Before, Fault::Status504AfterApply] {
        let arrived = fault == Fault::Status504AfterApply;
        bench.twin(|twin| twin.add_script(script(fault)));
        let answer = bench.command(LineCommand::Suspend, SimStatus::Active, None).await;
        assert!(matches!(answer, Answered::Unknown(_)), "{answer:?}");
        let found = bench.carrier.transaction(&format!("op_{}", bench.commands)).await;
        assert_eq!(found, Ok(arrived.then_some(TransactionReading::Pending)));
    }
    bench.pass(3);
    bench.events();
    bench.twin(|twin| twin.add_script(script(Fault::TooMany429 { retry_after: Some(7) })));
    let answer = bench.command(LineCommand::Reactivate, SimStatus::Suspended, None).await;
    assert!(matches!(&answer, Answered::NotTaken(wait) if wait.retry_after_ms == Some(7000)), "{answer:?}");
    bench.twin(SpsTwin::revoke_tokens);
    let commanded = bench.command(LineCommand::Reactivate, SimStatus::Suspended, None).await;
    bench.done(commanded).await;
}

#[tokio::test]
async fn notifications_are_proved_in_every_usual_way() {
    let mut bench = Bench::strict();
    bench.active().await;
    let header = |name: &str| WebhookAuth::Signature { header: name.to_owned() };
    let ways = [WebhookAuth::Bearer, header("X-Hub-Signature-256"), header("x-sps-signature-256")];
    let commands = [LineCommand::Suspend, LineCommand::Reactivate, LineCommand::Suspend];
    for (way, command) in ways.into_iter().zip(commands) {
        bench.twin(|twin| twin.set_webhook_auth(way));
        let from = if command == LineCommand::Suspend { SimStatus::Active } else { SimStatus::Suspended };
        let commanded = bench.command(command, from, None).await;
        bench.done(commanded).await;
    }
}

/// Answers as the pages' examples write them.
#[tokio::test]
async fn numbers_in_every_form_that_the_examples_have() {
    for form in ["e164", "ten_digits", "number"] {
        for prefixed in [false, true] {
            let assumptions = json!({ "gpsi_form": form, "prefixed_identifiers": prefixed });
            let mut bench = Bench::new(&assumptions, SpsSettings::default());
            let order = bench.activation(&json!({ "imei": PHONE }));
            let msisdn = bench.done(bench.carrier.activate(&order).await).await.msisdn.unwrap();
            assert_eq!((msisdn.as_str().len(), msisdn.as_str().starts_with('1')), (11, true), "{form}");
            let device = bench.carrier.device(&bench.key(Some(&msisdn))).await.unwrap().unwrap();
            assert_eq!(device.msisdn, Some(msisdn), "{form} {prefixed}");
            assert_eq!(device.imei.unwrap().as_str(), PHONE);
            assert!(device.imsi.unwrap().bytes().all(|byte| byte.is_ascii_digit()));
        }
    }
}

/// The one published answer to the question how a command stands ends nothing by itself.
#[tokio::test]
async fn an_operator_that_always_says_success() {
    let mut bench = Bench::new(&json!({ "transaction_profile": "seed_literal" }), SpsSettings::default());
    let order = bench.activation(&json!({}));
    assert!(matches!(bench.carrier.activate(&order).await, Answered::Done(_)));
    bench.pass(3);
    let unrecognised = TransactionReading::Unrecognised { status: "Success".to_owned() };
    assert_eq!(bench.carrier.transaction("op_1").await, Ok(Some(unrecognised)));
    assert_eq!(bench.carrier.transaction("op_2").await, Ok(None));
}

#[tokio::test]
async fn a_line_by_its_sim_where_the_operator_reads_it_so() {
    for (reading, lookup) in [("lenient", IccidLookup::Pei), ("lenient", IccidLookup::Iccid)] {
        let settings = SpsSettings { iccid_lookup: lookup, ..SpsSettings::default() };
        let mut bench = Bench::new(&json!({ "reading": reading }), settings);
        assert_eq!(bench.carrier.line(&bench.key(None)).await, Ok(None));
        bench.active().await;
        let line = bench.carrier.line(&bench.key(None)).await.unwrap().unwrap();
        assert_eq!(line.sim_status, Some(SimStatus::Active), "{lookup}");
    }
}

#[tokio::test]
async fn what_the_operator_does_by_itself_is_told() {
    let mut bench = Bench::new(&json!({ "operator_event": "SubscriptionChanged" }), SpsSettings::default());
    bench.active().await;
    let (now, iccid) = (bench.world.now(), bench.iccid.clone());
    bench.twin(|twin| twin.operator_suspend(iccid.as_str(), now)).unwrap();
    let event = bench.events().pop().unwrap();
    let News::Line(news) = &event.news else { panic!("{event:?}") };
    assert_eq!((news.sim_status, &news.transaction), (Some(SimStatus::Suspended), &None));
}

#[tokio::test]
async fn the_probe_changes_nothing() {
    let bench = Bench::strict();
    let probes = bench.carrier.probe().await;
    assert!(probes.iter().all(|probe| probe.result != ProbeResult::Failed), "{probes:?}");
    assert!(bench.twin(|twin| twin.received().is_empty()));
}
