//! The adapter and the twin, face to face and without sockets: the fleet, the events, and lost answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use simdepot_carrier_transatel::{
    Exchange, ExchangeAnswer, ExchangeRequest, Failure, LocalTurns, Transatel, TransatelAccount,
};
use simdepot_carrier_twin::webhook::SIGNATURE_HEADER;
use simdepot_carrier_twin::{
    CallName, Fault, LineSpec, Script, Twin, TwinConfig, TwinReply, TwinRequest, Webhook,
};
use simdepot_domain::bundle::{BundleStatus, OrderType};
use simdepot_domain::carrier::{
    Answered, BundleOrder, Carrier, CommandReceipt, EventRefused, LineKey, LineOrder, Lost, Placement,
    ProbeResult, TransactionReading,
};
use simdepot_domain::carrier_event::{CarrierEvent, LineChange, LineNews, News};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::line::{LineCommand, LineSetup, SuspendedBy};
use simdepot_domain::observation::Source;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;
use simdepot_tests::depot::{PRODUCT, WEBHOOK_SECRET, account_at};

/// A twin in the same process.
struct InProcess(Mutex<Twin>);

#[async_trait]
impl Exchange for InProcess {
    async fn run(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, Failure> {
        let ExchangeRequest { method, path, query, headers, body, .. } = request;
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let request = TwinRequest { method: method.to_owned(), path, query, headers, body };
        match self.0.lock().unwrap().handle(SystemClock.now(), &request) {
            TwinReply::Answer { status, headers, body, .. } => Ok(ExchangeAnswer { status, headers, body }),
            TwinReply::Drop { .. } => Err(Failure::Lost(Lost::silent("dropped"))),
        }
    }
}

fn connected() -> (Arc<InProcess>, Transatel) {
    let twin = Arc::new(InProcess(Mutex::new(Twin::new(TwinConfig::sandbox()))));
    let account = TransatelAccount {
        max_requests_per_second: u32::MAX,
        ..account_at("http://127.0.0.1", Duration::from_secs(5))
    };
    let turns = Arc::new(LocalTurns::default());
    let carrier = Transatel::with_exchange(account, Arc::new(SystemClock), turns, twin.clone()).unwrap();
    (twin, carrier)
}

fn order_for(line: &LineSpec) -> BundleOrder {
    BundleOrder {
        iccid: line.iccid.clone(),
        msisdn: line.msisdn.clone().unwrap(),
        product: PRODUCT.to_owned(),
        order_type: OrderType::Preload,
        reference: "op_1".to_owned(),
    }
}

#[tokio::test]
async fn the_fleet_is_read_whole_page_by_page() {
    let (twin, carrier) = connected();
    let lines = twin.0.lock().unwrap().add_lines(2_345);
    let mut seen = BTreeSet::new();
    let mut sizes = Vec::new();
    let mut page = 1;
    loop {
        let read = carrier.fleet(page).await.unwrap();
        assert_eq!((read.unreadable, read.pages), (0, 3));
        sizes.push(read.lines.len());
        for (iccid, line) in read.lines {
            assert_eq!((line.sim_status, line.source), (Some(SimStatus::Preactivated), Source::Search));
            assert!(line.msisdn.is_some() && seen.insert(iccid));
        }
        if page == read.pages {
            break;
        }
        page += 1;
    }
    assert_eq!(sizes, [1_000, 1_000, 345]);
    assert_eq!(seen, lines.into_iter().map(|line| line.iccid).collect());
    for fault in [Fault::Status503Before, Fault::WrongShape, Fault::Garbage, Fault::DropBeforeApply] {
        twin.0.lock().unwrap().add_script(Script::once(CallName::SimSearch, fault));
        carrier.fleet(1).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_in_the_inventory() {
    let (twin, carrier) = connected();
    let line = twin.0.lock().unwrap().add_lines(1).remove(0);
    twin.0.lock().unwrap().add_script(Script::once(CallName::Order, Fault::DropAfterApply));
    let order = order_for(&line);
    assert!(matches!(carrier.place_bundle(&order).await, Placement::Unknown(_)));
    let found = carrier.bundles(&order.msisdn).await.unwrap().unwrap();
    assert_eq!((found.len(), found[0].status), (1, BundleStatus::Preloaded));
}

/// Every event that is due, as the adapter reads it once it has checked the signature.
fn events(twin: &InProcess, carrier: &Transatel) -> Vec<CarrierEvent> {
    let mut twin = twin.0.lock().unwrap();
    let now = SystemClock.now();
    let mut read = Vec::new();
    while let Some(delivery) = twin.next_delivery(now) {
        let header = |name: &str| (name == SIGNATURE_HEADER).then(|| delivery.signature.clone());
        carrier.authenticate(&header, &delivery.body).unwrap();
        let mut forged = delivery.body.clone();
        forged.push(b' ');
        assert_eq!(carrier.authenticate(&header, &forged), Err(EventRefused::Signature));
        read.push(carrier.event(&delivery.body).unwrap());
        assert!(twin.delivery_ended(now, delivery.ticket, Some(204)));
    }
    read
}

#[tokio::test]
async fn the_events_of_a_whole_life_are_understood() {
    let (twin, carrier) = connected();
    let webhook = Webhook::new("http://127.0.0.1/", Secret::new(WEBHOOK_SECRET)).unwrap();
    twin.0.lock().unwrap().set_webhook(Some(webhook));
    let line = twin.0.lock().unwrap().add_lines(1).remove(0);
    let Placement::Done(receipt) = carrier.place_bundle(&order_for(&line)).await else { panic!("not done") };
    {
        let (mut twin, now) = (twin.0.lock().unwrap(), SystemClock.now());
        twin.simulate_download(&line.iccid, None, now).unwrap();
        twin.simulate_install(&line.iccid, now).unwrap();
        twin.simulate_enable(&line.iccid, now).unwrap();
        twin.attach(&line.iccid, "FR", now).unwrap();
        twin.consume(&line.iccid, u64::MAX, now).unwrap();
        twin.set_line_status(&line.iccid, SimStatus::Suspended, now).unwrap();
        twin.set_line_status(&line.iccid, SimStatus::Active, now).unwrap();
        twin.simulate_disable(&line.iccid, now).unwrap();
        twin.simulate_delete(&line.iccid, now).unwrap();
    }
    let events = events(&twin, &carrier);
    let device = match &events[1].news {
        News::Esim(EsimStatus::Downloaded, device @ Some(_)) => device.clone(),
        other => panic!("{other:?}"),
    };
    let esim = |status| News::Esim(status, device.clone());
    let told_line = |change, status| News::Line(LineNews::of(change, Some(status)));
    let mut told: Vec<News> = events.iter().map(|event| event.news.clone()).collect();
    for news in &mut told {
        if let News::Line(news) = news {
            assert!(news.transaction.take().is_some(), "{news:?}");
        }
    }
    let (lines, plans): (Vec<News>, Vec<News>) =
        told.into_iter().partition(|news| !matches!(news, News::Bundle(_)));
    assert_eq!(
        lines,
        [
            esim(EsimStatus::Downloaded),
            esim(EsimStatus::Installed),
            esim(EsimStatus::Enabled),
            told_line(LineChange::Activated, SimStatus::Active),
            told_line(LineChange::Suspended, SimStatus::Suspended),
            told_line(LineChange::Reactivated, SimStatus::Active),
            esim(EsimStatus::Disabled),
            esim(EsimStatus::Deleted),
        ]
    );
    let mut statuses = Vec::new();
    for news in plans {
        let News::Bundle(bundle) = news else { panic!("{news:?}") };
        assert_eq!(Some(bundle.subscription_id), receipt.subscription_id);
        assert_eq!((bundle.product.as_deref(), bundle.reference.as_deref()), (Some(PRODUCT), Some("op_1")));
        // A threshold says nothing of the status.
        statuses.extend(bundle.status);
    }
    assert_eq!(statuses, [BundleStatus::Preloaded, BundleStatus::Active, BundleStatus::Exhausted]);
    for event in events {
        assert_eq!(event.iccid.as_ref(), Some(&line.iccid), "{}", event.event_type);
        assert!(event.at.is_some());
    }
}

/// Line management, where the account has it.
#[tokio::test]
async fn a_line_is_managed_and_its_card_read() {
    let (twin, carrier) = connected();
    let line = {
        let mut twin = twin.0.lock().unwrap();
        let assumptions = twin.assumptions_mut();
        assumptions.connectivity_open = true;
        assumptions.transaction_delay_ms = 0;
        twin.add_lines(1).remove(0)
    };
    let setup = LineSetup {
        group: Some("fleet-a".to_owned()),
        external_reference: Some("car 7".to_owned()),
        ..LineSetup::default()
    };
    for command in [LineCommand::Activate(setup), LineCommand::Suspend] {
        let rate_plan = TwinConfig::sandbox().rate_plan;
        let order = LineOrder {
            reference: "op_1".to_owned(),
            iccid: line.iccid.clone(),
            msisdn: None,
            from: None,
            rate_plan: Some(rate_plan),
            command,
            contact: None,
        };
        let answer = carrier.command_line(&order).await;
        let Answered::Done(CommandReceipt::Accepted { transaction: Some(id) }) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(carrier.transaction(&id).await, Ok(Some(TransactionReading::Done)));
    }
    assert_eq!(carrier.transaction("none").await, Ok(None));
    let reading = carrier.line(&LineKey::of(&line.iccid)).await.unwrap().unwrap();
    assert_eq!((reading.source, reading.sim_status), (Source::Read, Some(SimStatus::Suspended)));
    let details = reading.details;
    assert_eq!(details.suspended_by, Some(SuspendedBy::Customer));
    assert_eq!(
        (details.group.as_deref(), details.external_reference.as_deref()),
        (Some("fleet-a"), Some("car 7"))
    );
    assert!(details.activated_at.is_some() && details.modified_at.is_some());
    let card = carrier.sim_card(&line.iccid).await.unwrap().unwrap();
    let codes = card.codes;
    assert!([codes.pin1, codes.puk1, codes.pin2, codes.puk2].iter().all(Option::is_some));
    assert!(card.msisdn == reading.msisdn && card.electrical_profile.is_some() && card.card_type.is_some());
    let probes = carrier.probe().await;
    for what in ["manage lines", "read transactions", "line paths"] {
        let probe = probes.iter().find(|probe| probe.what == what).unwrap();
        assert_eq!(probe.result, ProbeResult::Ok, "{probe:?}");
    }
}
