use super::*;
use crate::testing::{Bench, at};

fn ask(bench: &mut Bench, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let reply = bench.twin.handle(at(0), &TwinRequest::new(method, target).with_json(body));
    (reply.status().unwrap(), reply.json().unwrap_or_default())
}

#[test]
fn a_whole_life_over_the_control_api() {
    let mut bench = Bench::new();
    let (status, added) = ask(&mut bench, "POST", "/_twin/lines", &json!({"count": 2}));
    let iccid = added["lines"][0]["iccid"].as_str().unwrap().to_owned();
    assert_eq!((status, added["lines"].as_array().unwrap().len()), (201, 2));
    let path = |action: &str| format!("/_twin/lines/{iccid}/{action}");
    for (action, esim_status) in [("download", "downloaded"), ("install", "installed"), ("enable", "enabled")]
    {
        let (status, body) = ask(&mut bench, "POST", &path(action), &json!({}));
        assert_eq!((status, &body["line"]["esim_status"]), (200, &json!(esim_status)));
    }
    let (_, attached) = ask(&mut bench, "POST", &path("attach"), &json!({"country": "FR"}));
    assert_eq!(
        (&attached["result"]["line_activated"], &attached["line"]["sim_status"]),
        (&json!(true), &json!("active"))
    );
    let (_, used) = ask(&mut bench, "POST", &path("consume"), &json!({"bytes": 4096}));
    assert_eq!(used["result"], json!({"consumed_kb": 0, "refused_kb": 4}));
    let (status, _) = ask(
        &mut bench,
        "POST",
        &path("status"),
        &json!({"sim_status": "suspended", "esim_status": "disabled"}),
    );
    let (_, line) = ask(&mut bench, "GET", &format!("/_twin/lines/{iccid}"), &json!({}));
    assert_eq!(
        (status, &line["sim_status"], &line["esim_status"]),
        (200, &json!("suspended"), &json!("disabled"))
    );
    assert_eq!(ask(&mut bench, "POST", &path("delete"), &json!({})).0, 200);
    assert_eq!(ask(&mut bench, "POST", &path("download"), &json!({})).0, 409);
    let (_, events) = ask(&mut bench, "GET", "/_twin/events?after=3", &json!({}));
    assert_eq!(events["events"][0]["header"]["eventType"], "CONNECTIVITY-MANAGEMENT/SUBSCRIBER/ACTIVATED");
}

#[test]
fn codes_leave_with_the_delivery_file_only() {
    let mut bench = Bench::new();
    let line = bench.line();
    let code = line.activation_code.as_ref().unwrap().code().to_owned();
    bench.order(&line, "preload");
    for path in ["state", "lines", "requests", "events", "orders", "subscriptions"] {
        let (status, body) = ask(&mut bench, "GET", &format!("/_twin/{path}"), &json!({}));
        assert_eq!(status, 200, "{path}");
        let secret = line.activation_code.as_ref().unwrap().matching_id().expose();
        assert!(!body.to_string().contains(secret), "{path}");
    }
    let file = bench.twin.handle(at(0), &TwinRequest::new("GET", "/_twin/delivery.csv?count=1"));
    let TwinReply::Answer { body, .. } = file else { panic!("dropped") };
    assert!(String::from_utf8(body).unwrap().contains(&code));
}

#[test]
fn scripts_assumptions_clock_and_reset() {
    let mut bench = Bench::new();
    let slow = json!([{"call": "order", "fault": {"slow": {"ms": 5}}}, {"call": "any", "fault": "garbage", "times": 1}]);
    assert_eq!(ask(&mut bench, "POST", "/_twin/scripts", &slow).1["scripts"].as_array().unwrap().len(), 2);
    assert_eq!(ask(&mut bench, "POST", "/_twin/scripts", &json!({"call": "any", "fault": "garbage"})).0, 201);
    assert_eq!(ask(&mut bench, "DELETE", "/_twin/scripts", &json!({})).0, 204);
    assert!(bench.twin.scripts().is_empty());
    assert_eq!(ask(&mut bench, "PATCH", "/_twin/assumptions", &json!({"connectivity_open": true})).0, 200);
    assert!(bench.twin.assumptions().connectivity_open);
    let (_, clock) = ask(&mut bench, "POST", "/_twin/clock", &json!({"freeze": true, "advance_seconds": 60}));
    assert_eq!(clock, json!({"now": "2026-03-01T12:01:00.000Z", "frozen": true}));
    let (_, clock) = ask(&mut bench, "POST", "/_twin/clock", &json!({"real": true}));
    assert_eq!(clock, json!({"now": "2026-03-01T12:00:00.000Z", "frozen": false}));
    bench.token();
    ask(&mut bench, "DELETE", "/_twin/tokens", &json!({}));
    bench.get_refused("/sim-search/api/sim/search", 401, "UNAUTHORIZED");
    assert_eq!(ask(&mut bench, "POST", "/_twin/reset", &json!({})).0, 204);
    assert!(!bench.twin.assumptions().connectivity_open);
}

#[test]
fn mistakes_are_named() {
    let mut bench = Bench::new();
    let line = bench.line();
    let own = format!("/_twin/lines/{}", line.iccid);
    for (method, path, body, status, word) in [
        ("GET", "/_twin/nothing".to_owned(), json!({}), 404, "nothing"),
        ("POST", "/_twin/lines".to_owned(), json!({}), 400, "count"),
        ("POST", "/_twin/lines".to_owned(), json!({"lines": [{"iccid": line.iccid}]}), 409, "exists"),
        ("POST", "/_twin/lines".to_owned(), json!({"lines": [{"iccid": "12"}]}), 400, "ICCID"),
        ("POST", format!("{own}/attach"), json!({}), 400, "country"),
        ("POST", format!("{own}/attach"), json!({"country": "FR"}), 409, "released"),
        ("POST", format!("{own}/status"), json!({}), 400, "sim_status"),
        ("POST", format!("{own}/fly"), json!({}), 404, "fly"),
        ("GET", "/_twin/lines/8988247000000000000".to_owned(), json!({}), 404, "8988247000000000000"),
        ("POST", "/_twin/lines/8988247000000000000/enable".to_owned(), json!({}), 404, "8988247000000000000"),
        (
            "POST",
            "/_twin/scripts".to_owned(),
            json!({"call": "any", "fault": {"refuse_title": {"status": 200, "title": "X"}}}),
            400,
            "status",
        ),
        ("PATCH", "/_twin/assumptions".to_owned(), json!({"nope": 1}), 400, "nope"),
        ("POST", "/_twin/scripts".to_owned(), json!({"call": "order", "fault": "explode"}), 400, "explode"),
        ("POST", "/_twin/clock".to_owned(), json!({"advance_seconds": -1}), 400, "u64"),
        ("GET", "/_twin/events?after=x".to_owned(), json!({}), 400, "after"),
    ] {
        let (got, error) = ask(&mut bench, method, &path, &body);
        assert_eq!(got, status, "{method} {path} {error}");
        assert!(error["error"].as_str().unwrap().contains(word), "{path}: {error}");
    }
}

#[test]
fn lines_of_any_kind_and_groups_are_added() {
    let mut bench = Bench::iot();
    let body = json!({"count": 2, "physical": true, "sim_status": "suspended", "numbered": true});
    let (status, added) = ask(&mut bench, "POST", "/_twin/lines", &body);
    let line = &added["lines"][1];
    assert_eq!((status, &line["physical"], &line["sim_status"]), (201, &json!(true), &json!("suspended")));
    assert!(line["msisdn"].is_string() && line["esim_status"].is_null());
    let (_, usual) = ask(&mut bench, "POST", "/_twin/lines", &json!({"count": 1}));
    assert_eq!((&usual["lines"][0]["physical"], &usual["lines"][0]["msisdn"]), (&json!(false), &Value::Null));
    let (status, groups) = ask(&mut bench, "POST", "/_twin/groups", &json!({"name": "fleet-c"}));
    assert_eq!((status, &groups["groups"]), (201, &json!(["default", "fleet-a", "fleet-b", "fleet-c"])));
    assert_eq!(ask(&mut bench, "GET", "/_twin/groups", &json!({})).1, groups);
    assert_eq!(ask(&mut bench, "POST", "/_twin/groups", &json!({"name": ""})).0, 400);
    let after = added["lines"][0]["iccid"].as_str().unwrap();
    let (_, page) = ask(&mut bench, "GET", &format!("/_twin/lines?limit=1&after={after}"), &json!({}));
    assert_eq!(page["lines"][0]["iccid"], line["iccid"]);
}

#[test]
fn writes_are_shown_with_what_became_of_them() {
    use crate::LineOperation::{Activate, Suspend};
    let mut bench = Bench::iot();
    let [iccid, other] = [bench.line().iccid, bench.line().iccid];
    bench.done(&iccid, Activate, &json!({"group": "fleet-a", "externalReference": "car-1"}));
    bench.refused(&iccid, Activate, &json!({}));
    bench.accepted(&other, Activate, &json!({"group": "none"}));
    bench.pass(5);
    let (_, line) = ask(&mut bench, "GET", &format!("/_twin/lines/{iccid}"), &json!({}));
    assert_eq!((&line["group"], &line["external_reference"]), (&json!("fleet-a"), &json!("car-1")));
    assert_eq!(line["options"]["RESTRICT_NO_THRESHOLD"], "on");
    let counted = json!({"arrived": 2, "accepted": 1, "done": 1, "failed": 0});
    assert_eq!((&line["writes"]["activate"], &line["transactions"][0]["status"]), (&counted, &json!("DONE")));
    let (_, failed) = ask(&mut bench, "GET", &format!("/_twin/transactions?iccid={other}"), &json!({}));
    assert_eq!(failed["transactions"][0]["failure"]["code"], "GROUP_NOT_FOUND");
    let (_, writes) = ask(&mut bench, "GET", &format!("/_twin/writes?iccid={iccid}"), &json!({}));
    assert_eq!(writes["writes"], json!([{"iccid": iccid, "operation": "activate", "count": counted}]));
    assert_eq!(bench.twin.line_writes(iccid.as_str(), Suspend).arrived, 0);
    let (_, writes) = ask(&mut bench, "GET", "/_twin/writes?operation=activate", &json!({}));
    assert_eq!(writes["writes"].as_array().unwrap().len(), 2);
    let path = format!("/_twin/requests?call=line_write&path_contains={other}");
    let (_, requests) = ask(&mut bench, "GET", &path, &json!({}));
    assert_eq!(requests["requests"].as_array().unwrap().len(), 1);
    assert_eq!(requests["requests"][0]["body"]["group"], "none");
    assert_eq!(ask(&mut bench, "GET", "/_twin/requests?call=nothing", &json!({})).0, 400);
    let (_, state) = ask(&mut bench, "GET", "/_twin/state", &json!({}));
    assert_eq!((&state["transactions"], &state["calls"]["line_write"]), (&json!(2), &json!(3)));
}

#[test]
fn a_suspension_by_hand_names_its_author() {
    let mut bench = Bench::new();
    let iccid = bench.line().iccid;
    let path = format!("/_twin/lines/{iccid}/status");
    let body = json!({"sim_status": "suspended", "suspended_by": "operator"});
    assert_eq!(ask(&mut bench, "POST", &path, &body).1["line"]["suspended_by"], "operator");
    let body = json!({"sim_status": "active", "suspended_by": "operator"});
    assert_eq!(ask(&mut bench, "POST", &path, &body).0, 400);
}

#[test]
fn the_fleet_report_comes_in_two_languages() {
    let mut bench = Bench::new();
    bench.line();
    for (query, word) in [("", "Pré-activée"), ("?language=fr", "Statut"), ("?language=en", "Pre-Activated")]
    {
        let reply = bench.twin.handle(at(0), &TwinRequest::new("GET", &format!("/_twin/park.csv{query}")));
        let TwinReply::Answer { body, .. } = reply else { panic!("dropped") };
        assert!(String::from_utf8(body).unwrap().contains(word), "{query}");
    }
    assert_eq!(ask(&mut bench, "GET", "/_twin/park.csv?language=de", &json!({})).0, 400);
}
