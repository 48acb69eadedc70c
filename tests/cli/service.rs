//! A configured account, as in production: keys, pool, import, order, stop, verify. The carrier is a twin.

use serde_json::{Value as Json, json};
use simdepot_carrier_twin::{CallName, Fault, Script, TwinConfig, TwinServer, delivery};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::esim::EsimStatus;

use crate::binary::{Place, Served, curl};

const ENCRYPTION_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// An account at the twin, its secret in the environment.
pub(crate) fn place(twin: &TwinServer) -> Place {
    let place = Place::new()
        .with("SIMDEPOT_ENCRYPTION_KEY", ENCRYPTION_KEY)
        .with("SIMDEPOT_CARRIER_SPC_CLIENT_SECRET", "sandbox-secret");
    let account = format!(
        "[[carriers]]\naccount = \"spc\"\nkind = \"transatel\"\nbase_url = \"{}\"\nclient_id = \"sandbox\"\n\
         mvno_ref = \"M2MA_WW_TSL_SANDBOX\"\ncos = \"WW_M2MA_COS_SPC\"\n",
        twin.base_url
    );
    place.write("simdepot.toml", &account);
    place
}

pub(crate) fn post(server: &Served, key: &str, path: &str, body: &Json) -> (u16, Json) {
    let line = format!(
        "curl -sS {}{path} -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' -d '{body}'",
        server.base_url
    );
    let (status, body) = curl(&line, &[("KEY", key)]);
    (status, serde_json::from_str(&body).expect("JSON"))
}

/// A key of a channel that sells and keeps stock.
pub(crate) const CREATE_KEY: [&str; 10] =
    ["keys", "create", "--name", "all", "--channel", "web", "--scope", "storefront", "--scope", "stock"];

/// A process that is started where its configuration is not.
#[test]
fn a_depot_does_not_become_a_sandbox() {
    let twin = TwinServer::start(TwinConfig::sandbox(), "127.0.0.1:0").unwrap();
    let place = place(&twin);
    let create = ["keys", "create", "--name", "all", "--channel", "web", "--scope", "stock"];
    let key = place.run(&create).good().trim().to_owned();
    let server = place.serve();
    let pool = json!({"pool": "world", "carrier_account": "spc", "name": "World"});
    assert_eq!(post(&server, &key, "/v1/pools", &pool).0, 201);
    assert!(server.stop().success());
    std::fs::remove_file(place.folder.path().join("simdepot.toml")).unwrap();
    let refused = place.run(&["serve"]).bad();
    assert!(
        refused.contains("SIMDEPOT_ENCRYPTION_KEY is set") && refused.contains("SIMDEPOT_CONFIG"),
        "{refused}"
    );
    // What is run before going live, and what makes keys: neither takes this for a sandbox.
    let before = place.files();
    for command in [["doctor"].as_slice(), &create] {
        let refused = place.run(command);
        assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{command:?}: {refused:?}");
        assert!(refused.err.contains("SIMDEPOT_ENCRYPTION_KEY is set"), "{command:?}: {refused:?}");
        assert!(!refused.err.contains(ENCRYPTION_KEY), "{refused:?}");
    }
    assert_eq!(place.files(), before, "nothing is made");
    // Without anybody to ask there is nothing to compare: said once, not once a profile.
    let alone = place.run(&["reconcile"]);
    assert_eq!(alone.code, Some(1), "{alone:?}");
    assert!(alone.err.contains("no carrier account is configured") && alone.err.contains("SIMDEPOT_CONFIG"));
    assert!(!alone.err.contains("profile"), "{alone:?}");
    let other = place.with("SIMDEPOT_ENCRYPTION_KEY", "");
    let refused = other.run(&["serve"]).bad();
    assert!(refused.contains("was made with encryption key"), "{refused}");
    assert!(refused.contains("SIMDEPOT_ENCRYPTION_KEY is not set") && refused.contains("simdepot.toml"));
    assert!(!refused.contains("SIMDEPOT_ENCRYPTION_KEY is e"), "{refused}");
    let place = other.with("SIMDEPOT_ENCRYPTION_KEY", ENCRYPTION_KEY);
    assert!(place.run(&["verify"]).good().contains("no difference"));
}

#[test]
fn an_account_from_its_configuration_to_an_order() {
    let twin = TwinServer::start(TwinConfig::sandbox(), "127.0.0.1:0").unwrap();
    let lines = twin.twin().add_lines(3);
    let place = place(&twin);
    let key = place.run(&CREATE_KEY).good().trim().to_owned();
    assert!(key.starts_with("sd_live_"), "no sandbox");
    let checked = place.run(&["doctor"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let server = place.serve();
    let pool = json!({"pool": "world", "carrier_account": "spc", "name": "World"});
    assert_eq!(post(&server, &key, "/v1/pools", &pool).0, 201);

    let file = delivery::delivery_file(&lines);
    place.write("bad.csv", &file.replace(lines[1].iccid.as_str(), "12"));
    place.write("good.csv", &file);
    let refused = place.run(&["import", "bad.csv", "--pool", "world", "--json"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let report: Json = serde_json::from_str(&refused.out).unwrap();
    assert_eq!(
        (&report["status"], &report["rejected"], &report["errors"][0]["line"]),
        (&json!("failed"), &json!(1), &json!(3))
    );
    let part = place.run(&["import", "bad.csv", "--pool", "world", "--on-error", "skip", "--dry-run"]);
    assert!(part.code == Some(1) && part.out.contains("2 accepted, 1 rejected"), "{part:?}");
    let tried = place.run(&["import", "good.csv", "--pool", "world", "--dry-run"]).good();
    assert!(tried.contains("checked, nothing imported"), "{tried}");
    let done: Json =
        serde_json::from_str(&place.run(&["import", "good.csv", "--pool", "world", "--json"]).good())
            .unwrap();
    assert_eq!((&done["status"], &done["accepted"]), (&json!("completed"), &json!(3)));
    let again = place.run(&["import", "good.csv", "--pool", "world"]).good();
    assert!(again.contains("this file was imported before"), "{again}");
    let error = place.run(&["import", "good.csv", "--pool", "nowhere"]).bad();
    assert!(
        error.contains("--pool: there is no pool nowhere") && error.contains("POST /v1/pools"),
        "{error}"
    );
    let error = place.run(&["import", "none.csv", "--pool", "world"]).bad();
    assert!(error.contains("none.csv"), "{error}");

    let product = "WW_901O_STACK_ONEOFF_EUROPE_3GB_15D";
    let order =
        json!({"reference": "order-1", "lines": [{"pool": "world", "product": product, "quantity": 2}]});
    let (status, placed) = post(&server, &key, "/v1/orders", &order);
    assert_eq!((status, &placed["channel"]), (201, &json!("web")), "{placed:#}");
    let code = lines[0].activation_code.as_ref().unwrap().lpa();
    assert_eq!(placed["lines"][0]["profiles"][0]["activation"]["lpa"], code);
    assert_eq!(twin.twin().orders().len(), 2);
    let beside = place.run(&["verify"]).good();
    assert!(beside.contains("3 profiles, 1 orders") && beside.contains("no difference"), "{beside}");
    for secret in [code.rsplit('$').next().unwrap(), &key, "sandbox-secret", ENCRYPTION_KEY] {
        assert!(!server.log().contains(secret), "the log has a secret");
    }
    assert!(server.stop().success());
    assert!(place.run(&["verify"]).good().contains("no difference"));
}

#[test]
fn the_stock_is_compared_with_the_carrier() {
    let twin = TwinServer::start(TwinConfig::sandbox(), "127.0.0.1:0").unwrap();
    twin.twin().assumptions_mut().sim_search_lag_seconds = 0;
    let lines = twin.twin().add_lines(3);
    let place = place(&twin);
    let key = place.run(&CREATE_KEY).good().trim().to_owned();
    let server = place.serve();
    let pool = json!({"pool": "world", "carrier_account": "spc", "name": "World"});
    assert_eq!(post(&server, &key, "/v1/pools", &pool).0, 201);
    place.write("good.csv", &delivery::delivery_file(&lines));
    place.run(&["import", "good.csv", "--pool", "world"]).good();
    // Beside the live server.
    let clean = place.run(&["reconcile"]).good();
    assert!(clean.contains("(completed): 3 of 3 profiles compared, 0 could not be read"), "{clean}");
    // A move that no document of the carrier knows.
    let now = SystemClock.now();
    twin.twin().set_esim_status(&lines[0].iccid, EsimStatus::Available, now).unwrap();
    let differs = place.run(&["reconcile"]);
    assert_eq!(differs.code, Some(1), "{differs:?}");
    assert!(differs.out.contains("impossible_move esim_status released to available"), "{differs:?}");
    assert!(server.stop().success());
    let report = place.run(&["reconcile", "--json"]);
    let document: Json = serde_json::from_str(&report.out).unwrap();
    assert_eq!((report.code, &document["status"]), (Some(1), &json!("completed")), "it is still open");
    assert_eq!(document["open_drifts"][0]["iccid"], json!(lines[0].iccid));
    // What cannot be read is not known, and is no good end.
    let silent = Script::always(CallName::Inventory, Fault::Status503Before);
    twin.twin().add_script(silent);
    let unread = place.run(&["reconcile", "--json"]);
    let document: Json = serde_json::from_str(&unread.out).unwrap();
    assert_eq!((unread.code, &document["unread"]), (Some(1), &json!(3)));
    assert!(place.run(&["verify"]).good().contains("no difference"));
}

#[test]
fn an_account_needs_a_key_of_its_own() {
    let twin = TwinServer::start(TwinConfig::sandbox(), "127.0.0.1:0").unwrap();
    let place = place(&twin).with("SIMDEPOT_ENCRYPTION_KEY", "");
    let error = place.run(&["serve"]).bad();
    assert!(error.contains("SIMDEPOT_ENCRYPTION_KEY"), "{error}");
    assert!(
        !place.folder.path().join("simdepot.db").exists(),
        "nothing is made with the key that everybody knows"
    );
}
