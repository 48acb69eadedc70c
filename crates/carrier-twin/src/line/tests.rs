use std::collections::BTreeSet;

use super::*;
use crate::testing::at;
use crate::{Twin, TwinConfig};

#[test]
fn made_lines_are_valid_unique_and_repeatable() {
    let mut twin = Twin::new(TwinConfig::sandbox());
    let lines = twin.add_lines(300);
    let mut ids = BTreeSet::new();
    for line in &lines {
        assert!(line.iccid.luhn_ok() && line.iccid.as_str().len() == 19);
        assert!(line.iccid.as_str().starts_with("8988247") && line.msisdn().len() == 15);
        let code = line.activation_code.as_ref().unwrap();
        assert!(code.matching_id().expose().len() == 32 && ids.insert(code.code().to_owned()));
    }
    assert_eq!(Twin::new(TwinConfig::sandbox()).add_lines(300), lines);
    let other = Twin::new(TwinConfig { seed: 2, ..TwinConfig::sandbox() }).add_lines(1);
    assert_ne!(other[0].iccid, lines[0].iccid);
    assert!(!format!("{lines:?}").contains(lines[0].activation_code.as_ref().unwrap().code()));
}

#[test]
fn numbers_are_taken_once() {
    let mut twin = Twin::new(TwinConfig::sandbox());
    let first = twin.add_lines(1).remove(0);
    let new = |json: serde_json::Value| serde_json::from_value::<NewLine>(json).unwrap();
    let iccid = twin.add_line(new(serde_json::json!({ "iccid": first.iccid }))).unwrap_err();
    assert_eq!(iccid, LineTaken::Iccid(first.iccid.clone()));
    let other = serde_json::json!({ "iccid": "8988247000000000000", "msisdn": first.msisdn });
    assert_eq!(twin.add_line(new(other)).unwrap_err(), LineTaken::Msisdn(first.msisdn.unwrap()));
    assert_eq!(twin.lines().count(), 1);
}

#[test]
fn a_physical_sim_has_no_profile() {
    let mut twin = Twin::new(TwinConfig::sandbox());
    let json =
        serde_json::json!({ "iccid": "8988247000000000000", "physical": true, "sim_status": "available" });
    let spec = twin.add_line(serde_json::from_value(json).unwrap()).unwrap();
    assert!(spec.activation_code.is_none() && spec.msisdn.is_none());
    assert!(twin.line("8988247000000000000").unwrap().profile.is_none());
}

#[test]
fn views_are_kept_by_time_and_bounded() {
    let mut twin = Twin::new(TwinConfig::sandbox());
    let iccid = twin.add_lines(1).remove(0).iccid;
    for minute in 0..200 {
        twin.set_line_status(
            &iccid,
            if minute % 2 == 0 { SimStatus::Active } else { SimStatus::Suspended },
            at(minute),
        )
        .unwrap();
    }
    let line = twin.line(iccid.as_str()).unwrap();
    assert_eq!(line.views.len(), MAX_VIEWS);
    assert_eq!(line.view_at(at(190)).unwrap().sim_status, SimStatus::Active);
    assert_eq!(line.view_at(at(191)).unwrap().sim_status, SimStatus::Suspended);
}
