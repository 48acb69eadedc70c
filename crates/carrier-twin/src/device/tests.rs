use super::*;
use crate::testing::{Bench, at};

fn types(bench: &Bench) -> Vec<&str> {
    bench.twin.events().iter().map(|event| event.event_type.rsplit('/').next().unwrap()).collect()
}

#[test]
fn a9_a_phone_goes_through_the_scenario_in_order() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.order(&line, "preload");
    bench.install(&line.iccid);
    let attached = bench.twin.attach(&line.iccid, "al", at(5)).unwrap();
    assert!(attached.line_activated && attached.subscription_started.is_some());
    assert_eq!(types(&bench), ["PRELOADED", "DOWNLOADED", "INSTALLED", "ENABLED", "ACTIVATED", "ACTIVATED"]);
    assert_eq!(bench.twin.events()[4].body["source"], "system");
    assert_eq!(bench.twin.events()[5].event_type, "OCS/PRODUCT/ACTIVATED");
    let profile = bench.twin.line(line.iccid.as_str()).unwrap().profile.clone().unwrap();
    assert!(profile.eid.unwrap().check_ok() && bench.twin.events()[1].body["eid"].is_string());
    let again = bench.twin.attach(&line.iccid, "AL", at(6)).unwrap();
    assert_eq!(again, Attached { line_activated: false, subscription_started: None });
}

#[test]
fn a9_the_first_attach_need_not_activate() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.twin.assumptions_mut().attach_activates_line = false;
    bench.install(&line.iccid);
    assert!(!bench.twin.attach(&line.iccid, "FR", at(1)).unwrap().line_activated);
    assert_eq!(bench.twin.line(line.iccid.as_str()).unwrap().sim_status, SimStatus::Preactivated);
}

#[test]
fn a8_a_deleted_profile_is_gone_unless_switched() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.install(&line.iccid);
    bench.twin.simulate_disable(&line.iccid, at(2)).unwrap();
    bench.twin.simulate_delete(&line.iccid, at(3)).unwrap();
    let refused = bench.twin.simulate_download(&line.iccid, None, at(4)).unwrap_err();
    let wrong = DeviceError::WrongProfileStatus { from: EsimStatus::Deleted, to: EsimStatus::Downloaded };
    assert_eq!((refused, types(&bench).last()), (wrong, Some(&"ERROR")));

    bench.twin.assumptions_mut().failed_operation_event = false;
    let before = bench.twin.events().len();
    bench.twin.simulate_download(&line.iccid, None, at(4)).unwrap_err();
    assert_eq!(bench.twin.events().len(), before);

    bench.twin.assumptions_mut().deleted_profile_downloads_again = true;
    let eid = Eid::parse("89034011560010000000000000000121").unwrap();
    bench.twin.simulate_download(&line.iccid, Some(eid.clone()), at(5)).unwrap();
    assert_eq!(bench.twin.line(line.iccid.as_str()).unwrap().profile.as_ref().unwrap().eid, Some(eid));
}

#[test]
fn a_device_needs_a_profile_a_network_and_a_known_line() {
    let mut bench = Bench::new();
    let line = bench.line();
    let attach = |bench: &mut Bench| bench.twin.attach(&line.iccid, "FR", at(1)).unwrap_err();
    assert_eq!(attach(&mut bench), DeviceError::NotEnabled(EsimStatus::Released));
    assert!(bench.twin.simulate_install(&line.iccid, at(1)).is_err());
    bench.install(&line.iccid);
    bench.twin.set_line_status(&line.iccid, SimStatus::Suspended, at(1)).unwrap();
    assert_eq!(attach(&mut bench), DeviceError::NoNetwork("Suspended"));
    bench.twin.set_line_status(&line.iccid, SimStatus::Active, at(1)).unwrap();
    assert_eq!(bench.twin.consume(&line.iccid, 1, at(1)).unwrap_err(), DeviceError::NeverAttached);
    let stranger = Iccid::parse("8988247999999999999").unwrap();
    assert_eq!(bench.twin.attach(&stranger, "FR", at(1)).unwrap_err(), DeviceError::UnknownLine(stranger));
}

#[test]
fn data_is_counted_in_begun_kilobytes() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.order(&line, "preload");
    bench.install(&line.iccid);
    bench.twin.attach(&line.iccid, "AL", at(1)).unwrap();
    let used = bench.twin.consume(&line.iccid, 1025, at(2)).unwrap();
    assert_eq!(used, Consumed { consumed_kb: 2, refused_kb: 0 });
    let used = bench.twin.consume(&line.iccid, 2 << 30, at(3)).unwrap();
    assert_eq!(used, Consumed { consumed_kb: 1_048_574, refused_kb: 1_048_578 });
    assert!(!types(&bench).contains(&"THRESHOLD"), "nothing was left to warn of");
    assert_eq!(bench.twin.events().last().unwrap().event_type, "OCS/PRODUCT/RESOURCE/EXHAUSTED");
}

#[test]
fn a_customer_is_warned_once_when_a_fifth_is_left() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.order(&line, "preload");
    bench.install(&line.iccid);
    bench.twin.attach(&line.iccid, "AL", at(1)).unwrap();
    let told = |bench: &mut Bench, mb: u64| {
        let before = bench.twin.events().len();
        bench.twin.consume(&line.iccid, mb << 20, at(2)).unwrap();
        bench.twin.events()[before..].iter().map(|event| event.event_type.clone()).collect::<Vec<_>>()
    };
    assert!(told(&mut bench, 800).is_empty());
    assert_eq!(told(&mut bench, 50), ["OCS/RESOURCE/THRESHOLD"]);
    assert!(told(&mut bench, 50).is_empty());
    assert_eq!(told(&mut bench, 500), ["OCS/PRODUCT/RESOURCE/EXHAUSTED"]);
    let event = &bench.twin.events()[bench.twin.events().len() - 2].body;
    assert!(event["productSubscription"]["subscriptionId"].is_string());
}
