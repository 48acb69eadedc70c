//! `simdepot twin`: either carrier's APIs on a port of its own.

use serde_json::Value as Json;

use crate::binary::{Place, Served, curl};

fn state(twin: &Served) -> Json {
    let (status, body) = curl(&format!("curl -sS {}/_twin/state", twin.base_url), &[]);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn it_plays_transatel_unless_told() {
    let place = Place::new();
    let twin = place.twin(&["--lines", "3"]);
    let printed = twin.printed("delivery file");
    assert!(
        printed.contains("with 3 lines: client_id sandbox, mvno_ref M2MA_WW_TSL_SANDBOX, cos"),
        "{printed}"
    );
    let state = state(&twin);
    assert_eq!((&state["lines"], &state["cos"]), (&Json::from(3), &Json::from("WW_M2MA_COS_SPC")));
    assert!(twin.stop().success());
}

#[test]
fn it_plays_sps_and_prints_its_settings() {
    let place = Place::new();
    let hook = ["--webhook-url", "http://127.0.0.1:9/carrier-events/us", "--webhook-secret", "SESAME"];
    let mut arguments = vec!["--carrier", "sps", "--lines", "4"];
    arguments.extend(hook);
    let twin = place.twin(&arguments);
    let printed = twin.printed("delivery file");
    for setting in [
        "with 4 lines: client_id sandbox",
        "wholesale_customer_id 920000108464",
        "token /oauth/token",
        "activate POST /activate, status POST /status, change POST /deviceSim/change, block_list POST /blockList",
        "notifications signed in x-signature-256",
    ] {
        assert!(printed.contains(setting), "{setting}: {printed}");
    }
    assert!(!printed.contains("SESAME") && !twin.log().contains("SESAME"));
    let state = state(&twin);
    assert_eq!((&state["lines"], &state["webhook"]["url"]), (&Json::from(4), &Json::from(hook[1])));
    let (status, file) = curl(&format!("curl -sS {}/_twin/delivery.csv", twin.base_url), &[]);
    assert_eq!((status, file.matches(";Available;1$").count()), (200, 4));
    assert!(twin.stop().success());
}

#[test]
fn transatels_offers_do_not_go_with_sps() {
    let error = Place::new().run(&["twin", "--carrier", "sps", "--offer", "iot"]).bad();
    assert!(error.contains("--offer"), "{error}");
}
