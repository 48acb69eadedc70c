use super::*;
use crate::sps::testing::{Bench, OWN_PHONE, PHONE, at};

fn ask(bench: &mut Bench, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let reply = bench.twin.handle(at(0), &TwinRequest::new(method, target).with_json(body));
    (reply.status().unwrap(), reply.json().unwrap_or_default())
}

#[test]
fn sims_are_added_shown_and_paged() {
    let mut bench = Bench::new();
    let (status, added) = ask(&mut bench, "POST", "/_twin/lines", &json!({"count": 3}));
    assert_eq!((status, added["lines"].as_array().unwrap().len()), (201, 3));
    let by_hand = json!({"lines": [{"iccid": "8965880812100011146", "physical": true}]});
    assert_eq!(ask(&mut bench, "POST", "/_twin/lines", &by_hand).1["lines"][0]["physical"], true);
    assert_eq!(ask(&mut bench, "POST", "/_twin/lines", &by_hand).0, 409);
    assert_eq!(ask(&mut bench, "POST", "/_twin/lines", &json!({})).0, 400);
    let first = added["lines"][0]["iccid"].as_str().unwrap();
    let (_, page) = ask(&mut bench, "GET", &format!("/_twin/lines?after={first}&limit=2"), &json!({}));
    assert_eq!(page["lines"][0]["iccid"], added["lines"][1]["iccid"]);
    let (status, line) = ask(&mut bench, "GET", &format!("/_twin/lines/{first}"), &json!({}));
    assert_eq!((status, &line["state"], &line["subscription"]), (200, &json!("available"), &Value::Null));
    assert_eq!(ask(&mut bench, "GET", "/_twin/lines/1", &json!({})).0, 404);
}

#[test]
fn the_world_is_played_over_http() {
    let mut bench = Bench::new();
    let line = bench.active();
    let path = |action: &str| format!("/_twin/lines/{}/{action}", line.iccid);
    for (action, status) in [("suspend", "suspended"), ("resume", "active"), ("cease", "ceased")] {
        let (code, body) = ask(&mut bench, "POST", &path(action), &json!({}));
        assert_eq!((code, &body["line"]["subscription"]["status"]), (200, &json!(status)));
    }
    assert_eq!(ask(&mut bench, "POST", &path("resume"), &json!({})).0, 409);
    let (_, body) = ask(&mut bench, "POST", &path("device"), &json!({"pei": PHONE}));
    assert_eq!(body["line"]["subscription"]["pei"], PHONE);
    assert_eq!(ask(&mut bench, "POST", &path("device"), &json!({"pei": "x"})).0, 400);
    assert_eq!(ask(&mut bench, "POST", &path("dance"), &json!({})).0, 404);
    assert_eq!(ask(&mut bench, "POST", "/_twin/lines/1/cease", &json!({})).0, 404);

    let (status, held) = ask(&mut bench, "POST", "/_twin/reservations", &json!({"id": "R1"}));
    assert_eq!((status, held["gpsi"].as_str().unwrap().len()), (201, 11));
    assert_eq!(
        ask(&mut bench, "GET", "/_twin/reservations", &json!({})).1["reservations"]["R1"],
        held["gpsi"]
    );
    let model = json!({"manufacturer": "M", "model": "N", "equipment_type": "WATCH", "networks": ["LTE"]});
    assert_eq!(ask(&mut bench, "PUT", "/_twin/devices/99999999", &model).0, 204);
    assert_eq!(ask(&mut bench, "PUT", "/_twin/devices/x", &model).0, 400);
    assert_eq!(ask(&mut bench, "GET", "/_twin/devices", &json!({})).1["devices"]["99999999"]["model"], "N");
    assert_eq!(ask(&mut bench, "PUT", &format!("/_twin/blocklist/{OWN_PHONE}"), &json!({})).0, 204);
    assert!(bench.twin.is_blocked(OWN_PHONE));
    assert_eq!(ask(&mut bench, "DELETE", &format!("/_twin/blocklist/{OWN_PHONE}"), &json!({})).0, 204);
    assert_eq!(ask(&mut bench, "GET", "/_twin/blocklist", &json!({})).1, json!({"devices": []}));
}

#[test]
fn codes_leave_with_the_delivery_file_only() {
    let mut bench = Bench::new();
    let line = bench.active();
    let code = bench.twin.sim(&line.iccid).unwrap().spec.activation_code.clone().unwrap();
    assert!(bench.twin.events()[0].body["eSim"].is_object());
    for path in [
        "state",
        "lines",
        "subscriptions",
        "transactions",
        "writes",
        "effects",
        "requests",
        "events",
        "webhook",
        "scripts",
        "assumptions",
    ] {
        let (status, body) = ask(&mut bench, "GET", &format!("/_twin/{path}"), &json!({}));
        assert_eq!(status, 200, "{path}");
        assert!(!body.to_string().contains(code.matching_id().expose()), "{path}");
    }
    let file = bench.twin.handle(at(0), &TwinRequest::new("GET", "/_twin/delivery.csv?count=1"));
    let TwinReply::Answer { body, .. } = file else { panic!("dropped") };
    assert!(String::from_utf8(body).unwrap().contains(code.code()));
}

#[test]
fn what_happened_can_be_asked_for() {
    let mut bench = Bench::new();
    let line = bench.active();
    let (_, all) = ask(&mut bench, "GET", "/_twin/transactions", &json!({}));
    let id = all["transactions"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(all["transactions"][0]["status"], "COMPLETED");
    let (_, one) = ask(&mut bench, "GET", &format!("/_twin/transactions/{id}"), &json!({}));
    assert_eq!(one["iccid"], line.iccid);
    assert_eq!(ask(&mut bench, "GET", "/_twin/transactions/none", &json!({})).0, 404);
    let (_, of) = ask(&mut bench, "GET", &format!("/_twin/transactions?iccid={}", line.iccid), &json!({}));
    assert_eq!(of["transactions"].as_array().unwrap().len(), 1);
    let (_, writes) = ask(&mut bench, "GET", &format!("/_twin/writes?id={id}"), &json!({}));
    assert_eq!(
        (&writes["writes"][0]["status"], &writes["writes"][0]["call"]),
        (&json!(200), &json!("activate"))
    );
    let (_, effects) = ask(&mut bench, "GET", "/_twin/effects", &json!({}));
    assert_eq!(effects["effects"][&line.iccid], json!({"activate": 1}));
    let (_, events) = ask(&mut bench, "GET", "/_twin/events?after=0", &json!({}));
    assert_eq!(
        (&events["events"][0]["number"], &events["events"][0]["partnerTransactionId"]),
        (&json!(1), &json!(id))
    );
    let (_, requests) = ask(&mut bench, "GET", "/_twin/requests?call=activate", &json!({}));
    assert_eq!(requests["requests"].as_array().unwrap().len(), 1);
    let (_, found) = ask(&mut bench, "GET", "/_twin/subscriptions?subscriber_id=Sub001", &json!({}));
    assert_eq!(found["subscriptions"][0]["gpsi"], line.gpsi);
    assert_eq!(ask(&mut bench, "GET", "/_twin/state", &json!({})).1["calls"]["activate"], 1);
    assert_eq!(ask(&mut bench, "GET", "/_twin/nothing", &json!({})).0, 404);
}

#[test]
fn scripts_assumptions_clock_webhook_and_reset() {
    let mut bench = Bench::new();
    let line = bench.active();
    let scripts = json!([{"call": "activate", "fault": "garbage"}, {"call": "change", "fault": {"late_failure": {"code": "E", "message": "m"}}}]);
    assert_eq!(ask(&mut bench, "POST", "/_twin/scripts", &scripts).1["scripts"].as_array().unwrap().len(), 2);
    assert_eq!(
        ask(&mut bench, "POST", "/_twin/scripts", &json!({"call": "dance", "fault": "garbage"})).0,
        400
    );
    assert_eq!(ask(&mut bench, "DELETE", "/_twin/scripts", &json!({})).0, 204);
    let (status, assumptions) =
        ask(&mut bench, "PATCH", "/_twin/assumptions", &json!({"state_check": "late"}));
    assert_eq!((status, &assumptions["state_check"]), (200, &json!("late")));
    assert_eq!(ask(&mut bench, "PATCH", "/_twin/assumptions", &json!({"late": 1})).0, 400);
    let id = bench.accepted("/status", &json!({"gpsi": line.gpsi, "action": "Suspend"}));
    ask(&mut bench, "POST", "/_twin/clock", &json!({"advance_seconds": 5}));
    assert!(bench.twin.transaction(&id).unwrap().status.is_final(), "the clock alone lets it happen");
    let hook = json!({"url": "http://127.0.0.1:9/", "secret": "SESAME"});
    let (status, view) = ask(&mut bench, "PUT", "/_twin/webhook", &hook);
    assert!(status == 200 && view["url"] == "http://127.0.0.1:9/" && !view.to_string().contains("SESAME"));
    assert_eq!(ask(&mut bench, "PUT", "/_twin/webhook", &json!({"url": "x", "secret": "y"})).0, 400);
    let with = |field: &str, value: &str| json!({"url": "http://x/", "secret": "s", field: value});
    for (body, status, auth) in [
        (with("auth", "bearer"), 200, WebhookAuth::Bearer),
        (with("header", "a b"), 400, WebhookAuth::Bearer),
        (
            json!({"url": "http://x/", "secret": "s", "auth": "bearer", "header": "a"}),
            400,
            WebhookAuth::Bearer,
        ),
        (with("auth", "dance"), 400, WebhookAuth::Bearer),
        (with("header", "X-Own"), 200, WebhookAuth::Signature { header: "X-Own".to_owned() }),
        (with("auth", "signature"), 200, WebhookAuth::Signature { header: "x-signature-256".to_owned() }),
    ] {
        assert_eq!(ask(&mut bench, "PUT", "/_twin/webhook", &body).0, status, "{body}");
        assert_eq!(bench.twin.config().webhook_auth, auth, "{body}");
    }
    assert_eq!(ask(&mut bench, "DELETE", "/_twin/webhook", &json!({})).0, 204);
    assert_eq!(ask(&mut bench, "DELETE", "/_twin/tokens", &json!({})).0, 204);
    assert_eq!(bench.get("/deviceDetails").status(), Some(401));
    assert_eq!(ask(&mut bench, "POST", "/_twin/reset", &json!({})).0, 204);
    assert_eq!((bench.twin.sims().count(), bench.twin.subscriptions().len()), (0, 0));
}
