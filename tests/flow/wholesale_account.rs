//! The wholesale adapter and the twin of its operator, face to face and without sockets. The twin reads requests to the
//! letter unless a test says otherwise.

mod bench;

use serde_json::json;
use simdepot_carrier_sps::{IccidLookup, LineIdentifier, TokenCredentials};
use simdepot_carrier_twin::sps::{Effect, WebhookAuth};
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::carrier::{
    Answered, Carrier, Commanded, Concern, DeviceBlockOrder, DeviceChangeOrder, DeviceQuery, DeviceReading,
    LineKey, ProbeResult, TransactionReading,
};
use simdepot_domain::carrier_event::{LineChange, LineNews, News};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::device::{ChangeType, DeviceChange, EsimDelivery};
use simdepot_domain::eid::Eid;
use simdepot_domain::imei::Imei;
use simdepot_domain::line::LineCommand;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;

use bench::{Bench, EID, OWN_PHONE, PHONE, accepted};

fn concerns(answer: &Commanded) -> Option<(&str, Concern)> {
    match answer {
        Answered::Refused(refusal) => Some((refusal.code.as_str(), refusal.concerns)),
        _ => None,
    }
}

#[tokio::test]
async fn the_account_is_probed() {
    for token_credentials in [TokenCredentials::Basic, TokenCredentials::Body] {
        let bench = Bench::with(|account| account.token_credentials = token_credentials);
        let probes = bench.carrier.probe().await;
        for what in ["credentials", "read device models"] {
            let probe = probes.iter().find(|probe| probe.what == what).unwrap();
            assert_eq!(probe.result, ProbeResult::Ok, "{probe:?}");
        }
    }
    let bench = Bench::with(|account| account.client_secret = Secret::new("another"));
    assert_eq!(bench.carrier.probe().await[0].result, ProbeResult::Failed);
}

#[tokio::test]
async fn an_activation_is_sent_to_the_letter_told_and_read_back() {
    let mut bench = Bench::new();
    let iccid = bench.sim(false);
    let number = bench.twin().reserve("GRID1", None).unwrap();
    let line = json!({
        "imei": OWN_PHONE, "eid": EID, "delivery": "QR", "msisdn": number, "msisdn_reservation_id": "GRID1",
        "subscriber_id": "Sub001", "products": [{"id": "P1"}],
    });
    let order = bench.activation(&iccid, Some(&line));
    bench.done(&bench.carrier.activate(&order).await, &order.reference).await;
    {
        let twin = bench.twin();
        let found = twin.subscription_of_iccid(iccid.as_str()).unwrap();
        assert_eq!((found.gpsi.as_str(), found.wholesale_plan_id.as_str()), (number.as_str(), "Plan001"));
        assert_eq!((&found.location, found.products.len()), (&json!({"zip": "80120"}), 1));
        assert_eq!(order.terms.document["bill_cycle_start_day"], found.bill_cycle_start_day);
    }
    let events = bench.events();
    assert_eq!(events.len(), 1);
    let told = LineNews {
        transaction: Some(order.reference.clone()),
        hearsay: true,
        ..LineNews::of(LineChange::CommandEnded, Some(SimStatus::Active))
    };
    assert_eq!((&events[0].news, events[0].iccid.as_ref()), (&News::Line(told), Some(&iccid)));
    assert_eq!(events[0].msisdn.as_ref().map(Msisdn::as_str), Some(number.as_str()));
    let code = bench.twin().sim(iccid.as_str()).unwrap().spec.activation_code.clone();
    assert!(
        code.is_some()
            && events[0].activation_code.as_ref().map(ActivationCode::code)
                == code.as_ref().map(ActivationCode::code)
    );

    let key = LineKey { msisdn: events[0].msisdn.clone(), ..LineKey::of(&iccid) };
    assert_eq!(bench.status(&key).await, Some(SimStatus::Active));
    let device = bench.device(&key).await;
    assert_eq!((device.blocked, device.subscriber.as_deref()), (Some(false), Some("Sub001")));
    assert_eq!(device.imei.as_ref().map(Imei::as_str), Some(OWN_PHONE));
    assert_eq!(device.eid.as_ref().map(Eid::as_str), Some(EID));
}

#[tokio::test]
async fn a_line_goes_through_every_status_by_sim_and_by_number() {
    for by in [LineIdentifier::Iccid, LineIdentifier::Msisdn] {
        let mut bench = Bench::with(|account| account.settings.line_identifier = by);
        let key = bench.active().await;
        for (command, from, to) in [
            (LineCommand::Suspend, SimStatus::Active, SimStatus::Suspended),
            (LineCommand::Reactivate, SimStatus::Suspended, SimStatus::Active),
            (LineCommand::Terminate, SimStatus::Active, SimStatus::Ceased),
            (LineCommand::Reactivate, SimStatus::Ceased, SimStatus::Active),
        ] {
            let order = bench.order(&key, from, command);
            bench.done(&bench.carrier.command_line(&order).await, &order.reference).await;
            assert_eq!(bench.status(&key).await, Some(to), "{by}");
        }
        let named = if by == LineIdentifier::Iccid { "iccid" } else { "gpsi" };
        let twin = bench.twin();
        let updates = twin.received().iter().filter(|write| write.call == CallName::Status);
        assert!(updates.clone().all(|write| write.body.get(named).is_some()) && updates.count() == 4);
    }
}

#[tokio::test]
async fn devices_and_sims_are_changed_in_every_supported_way() {
    let mut bench = Bench::new();
    let mut key = bench.active().await;
    let (card, second, esim) = (bench.sim(true), bench.sim(true), bench.sim(false));
    bench.sim(false);
    let none = DeviceChange {
        change_type: ChangeType::DeviceOnly,
        new_imei: None,
        new_iccid: None,
        new_eid: None,
        delivery: None,
    };
    let (phone, own, eid) = (PHONE.parse().ok(), OWN_PHONE.parse().ok(), EID.parse().ok());
    for change in [
        DeviceChange { new_imei: own.clone(), ..none.clone() },
        DeviceChange { change_type: ChangeType::PsimOnly, new_iccid: Some(card), ..none.clone() },
        DeviceChange {
            change_type: ChangeType::DeviceAndPsim,
            new_imei: phone.clone(),
            new_iccid: Some(second),
            ..none.clone()
        },
        DeviceChange {
            change_type: ChangeType::DeviceAndEsim,
            new_imei: own,
            new_iccid: Some(esim),
            new_eid: eid,
            delivery: Some(EsimDelivery::Qr),
        },
        DeviceChange { change_type: ChangeType::DeviceAndEsim, new_imei: phone, ..none },
    ] {
        let order =
            DeviceChangeOrder { reference: bench.reference(), line: key.clone(), change: change.clone() };
        bench.done(&bench.carrier.change_device(&order).await, &order.reference).await;
        let device = bench.device(&key).await;
        if change.new_imei.is_some() {
            assert_eq!(device.imei, change.new_imei, "{change:?}");
        }
        if change.new_iccid.is_some() {
            assert_eq!(device.iccid, change.new_iccid, "{change:?}");
        }
        assert_eq!(device.eid, change.new_eid, "{change:?}");
        let esim = change.change_type == ChangeType::DeviceAndEsim;
        assert_eq!(bench.events().pop().unwrap().activation_code.is_some(), esim, "{change:?}");
        key.iccid = device.iccid.unwrap();
    }
}

#[tokio::test]
async fn devices_are_blocked_and_looked_up() {
    let mut bench = Bench::new();
    let key = bench.active().await;
    let imei: Imei = PHONE.parse().unwrap();
    for block in [true, false] {
        let order =
            DeviceBlockOrder { reference: bench.reference(), line: key.clone(), imei: imei.clone(), block };
        bench.done(&bench.carrier.block_device(&order).await, &order.reference).await;
        assert_eq!(bench.carrier.is_blocked(&imei).await, Ok(block));
    }
    let model = bench.carrier.device_model(&DeviceQuery::Imei(imei)).await.unwrap().unwrap();
    assert_eq!((model.equipment_type.as_deref(), model.networks.len()), (Some("PHONE"), 2));
    let unknown = DeviceQuery::Tac("99999999".parse().unwrap());
    assert_eq!(bench.carrier.device_model(&unknown).await, Ok(None));
}

#[tokio::test]
async fn a_command_whose_answer_was_lost_is_found_and_sent_again_without_harm() {
    let mut bench = Bench::new();
    let key = bench.active().await;
    let order = bench.order(&key, SimStatus::Active, LineCommand::Suspend);
    for fault in [Fault::DropBeforeApply, Fault::DropAfterApply, Fault::Status504AfterApply] {
        let arrived = fault != Fault::DropBeforeApply;
        bench.twin().add_script(Script::once(CallName::Status, fault));
        assert!(matches!(bench.carrier.command_line(&order).await, Answered::Unknown(_)));
        let found = bench.carrier.transaction(&order.reference).await.unwrap();
        assert_eq!(found, arrived.then_some(TransactionReading::Pending));
    }
    assert_eq!(bench.carrier.command_line(&order).await, accepted(&order.reference));
    bench.pass();
    assert_eq!(bench.carrier.transaction(&order.reference).await, Ok(Some(TransactionReading::Done)));
    assert_eq!(bench.twin().effects(key.iccid.as_str(), Effect::Suspend), 1);
}

#[tokio::test]
async fn refusals_say_what_they_are_about() {
    let mut bench = Bench::new();
    let key = bench.active().await;
    let wrong = bench.order(&key, SimStatus::Suspended, LineCommand::Reactivate);
    let answer = bench.carrier.command_line(&wrong).await;
    assert_eq!(concerns(&answer), Some(("INVALID_STATE", Concern::LineStatus)));
    let stranger = LineKey::of(&"8965880812100011146".parse().unwrap());
    let unknown = bench.order(&stranger, SimStatus::Active, LineCommand::Suspend);
    let answer = bench.carrier.command_line(&unknown).await;
    assert_eq!(concerns(&answer), Some(("SUBSCRIPTION_NOT_FOUND", Concern::Profile)));
    let taken = bench.activation(&key.iccid, None);
    let answer = bench.carrier.activate(&taken).await;
    assert_eq!(concerns(&answer), Some(("SIM_NOT_AVAILABLE", Concern::LineStatus)));
    bench.twin().add_script(Script::once(CallName::Status, Fault::TooMany429 { retry_after: Some(7) }));
    let order = bench.order(&key, SimStatus::Active, LineCommand::Suspend);
    let Answered::NotTaken(unavailable) = bench.carrier.command_line(&order).await else { panic!("taken") };
    assert_eq!(unavailable.retry_after_ms, Some(7000));
    // An expired token is renewed, and the command goes through.
    bench.twin().revoke_tokens();
    assert_eq!(bench.carrier.command_line(&order).await, accepted(&order.reference));
    assert_eq!(bench.carrier.transaction("none").await, Ok(None));
}

#[tokio::test]
async fn what_fails_after_its_acknowledgement_is_learnt_and_told() {
    let mut bench = Bench::new();
    let key = bench.active().await;
    bench.events();
    let fault = Fault::LateFailure { code: "HLR_DOWN".to_owned(), message: "no answer".to_owned() };
    bench.twin().add_script(Script::once(CallName::Status, fault));
    let order = bench.order(&key, SimStatus::Active, LineCommand::Suspend);
    assert_eq!(bench.carrier.command_line(&order).await, accepted(&order.reference));
    bench.pass();
    let Ok(Some(TransactionReading::Failed(refusal))) = bench.carrier.transaction(&order.reference).await
    else {
        panic!("not failed")
    };
    assert_eq!((refusal.code.as_str(), refusal.detail.as_deref()), ("HLR_DOWN", Some("no answer")));
    let News::Line(news) = bench.events().remove(0).news else { panic!("no news of the line") };
    assert_eq!((news.transaction, news.failed.as_deref()), (Some(order.reference), Some("no answer")));
    assert_eq!(bench.status(&key).await, Some(SimStatus::Active));
}

#[tokio::test]
async fn every_way_of_writing_identifiers_is_read() {
    let mut bench = Bench::new();
    let key = bench.active().await;
    bench.twin().set_device(key.iccid.as_str(), Some(PHONE), SystemClock.now()).unwrap();
    let expected = bench.device(&key).await;
    assert!(expected.msisdn == key.msisdn && expected.imei.is_some());
    let (suspend, resume) = (LineCommand::Suspend, LineCommand::Reactivate);
    for (patch, from, command, to) in [
        (json!({"gpsi_form": "ten_digits"}), SimStatus::Active, suspend.clone(), "Suspended"),
        (json!({"gpsi_form": "number"}), SimStatus::Suspended, resume.clone(), "Active"),
        (json!({"prefixed_identifiers": true}), SimStatus::Active, suspend, "Suspended"),
        (json!({"unknown_fields": false}), SimStatus::Suspended, resume, "Active"),
    ] {
        bench.assume(&patch);
        let order = bench.order(&key, from, command);
        bench.done(&bench.carrier.command_line(&order).await, &order.reference).await;
        let expected = DeviceReading { status: Some(to.to_owned()), ..expected.clone() };
        assert_eq!(bench.device(&key).await, expected, "{patch}");
        let event = bench.events().pop().unwrap();
        assert_eq!((event.msisdn.as_ref(), event.iccid.as_ref()), (key.msisdn.as_ref(), Some(&key.iccid)));
    }
}

#[tokio::test]
async fn a_sim_is_asked_by_only_where_the_account_and_the_operator_allow_it() {
    let mut bench = Bench::new();
    let key = LineKey::of(&bench.active().await.iccid);
    assert!(bench.carrier.line(&key).await.is_err());
    for lookup in [IccidLookup::Pei, IccidLookup::Iccid] {
        let mut bench = Bench::with(|account| account.settings.iccid_lookup = lookup);
        let key = LineKey::of(&bench.active().await.iccid);
        assert!(bench.carrier.line(&key).await.is_err(), "{lookup} strictly");
        bench.assume(&json!({"reading": "lenient"}));
        assert_eq!(bench.status(&key).await, Some(SimStatus::Active), "{lookup}");
    }
}

#[tokio::test]
async fn a_word_that_no_setting_names_is_no_end() {
    let mut bench = Bench::new();
    let key = bench.active().await;
    let order = bench.order(&key, SimStatus::Active, LineCommand::Suspend);
    bench.assume(&json!({"transaction_profile": "seed_literal"}));
    assert_eq!(bench.carrier.command_line(&order).await, accepted(&order.reference));
    bench.pass();
    let reading = bench.carrier.transaction(&order.reference).await;
    assert_eq!(reading, Ok(Some(TransactionReading::Unrecognised { status: "Success".to_owned() })));
    // Where the account says that it is the end, it is.
    let mut bench = Bench::with(|account| account.settings.words.terminal = vec!["Success".to_owned()]);
    bench.assume(&json!({"completed_word": "Success"}));
    let key = bench.active().await;
    assert_eq!(bench.status(&key).await, Some(SimStatus::Active));
}

#[tokio::test]
async fn notifications_are_proved_by_the_secret_too() {
    let mut bench = Bench::new();
    bench.twin().set_webhook_auth(WebhookAuth::Bearer);
    bench.active().await;
    assert_eq!(bench.events().len(), 1);
    bench.twin().set_webhook_auth(WebhookAuth::Signature { header: "X-Hub-Signature-256".to_owned() });
    bench.active().await;
    assert_eq!(bench.events().len(), 1);
}
