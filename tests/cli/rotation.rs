//! The encryption key is rotated beside a running server; checkpoints are kept in a file and compared.

use serde_json::{Value as Json, json};

use simdepot_carrier_twin::{TwinConfig, TwinServer, delivery};

use crate::binary::Place;
use crate::service::{self, CREATE_KEY};

const OLD: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const NEW: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
const LOST: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=";

#[test]
fn a_key_is_rotated_beside_a_running_server() {
    let twin = TwinServer::start(TwinConfig::sandbox(), "127.0.0.1:0").unwrap();
    let place = service::place(&twin).with("SIMDEPOT_ENCRYPTION_KEY", OLD);
    // Some stock, so that there are data keys.
    let key = place.run(&CREATE_KEY).good().trim().to_owned();
    let server = place.serve();
    let pool = json!({"pool": "world", "carrier_account": "spc", "name": "World"});
    assert_eq!(service::post(&server, &key, "/v1/pools", &pool).0, 201);
    place.write("lines.csv", &delivery::delivery_file(&twin.twin().add_lines(2)));
    place.run(&["import", "lines.csv", "--pool", "world"]).good();
    assert!(server.stop().success());
    let nothing = place.run(&["keys", "rotate-encryption", "--json"]).good();
    let nothing: Json = serde_json::from_str(&nothing).unwrap();
    assert_eq!(nothing["rewrapped"], 0);
    let total = nothing["total"].as_u64().unwrap();
    assert!(total >= 2, "the index key and a batch: {nothing}");

    let place = place.with("SIMDEPOT_ENCRYPTION_KEY", NEW);
    let refused = place.run(&["keys", "rotate-encryption"]).bad();
    assert!(refused.contains("SIMDEPOT_ENCRYPTION_KEY_PREVIOUS"), "{refused}");
    let wrong = place.with("SIMDEPOT_ENCRYPTION_KEY_PREVIOUS", LOST);
    wrong.run(&["keys", "rotate-encryption"]).bad();

    let place = wrong.with("SIMDEPOT_ENCRYPTION_KEY_PREVIOUS", OLD);
    let server = place.serve();
    let rotated: Json =
        serde_json::from_str(&place.run(&["keys", "rotate-encryption", "--json"]).good()).unwrap();
    assert_eq!(rotated, json!({"rewrapped": total, "total": total}));
    let again = place.run(&["keys", "rotate-encryption"]).good();
    assert_eq!(again, format!("0 keys wrapped again; SIMDEPOT_ENCRYPTION_KEY now wraps all {total}\n"));
    for key in [OLD, NEW] {
        assert!(!server.log().contains(key), "the log has a key");
    }
    assert!(server.stop().success());

    let alone = place.with("SIMDEPOT_ENCRYPTION_KEY_PREVIOUS", "");
    assert!(alone.serve().stop().success());
    assert!(alone.run(&["verify"]).good().contains("no difference"));
}

#[test]
fn checkpoints_of_a_file_are_compared() {
    let place = Place::new().with("DATABASE_URL", "sqlite://depot.db");
    place.serve().stop();
    let missing = place.run(&["verify", "--checkpoints", "none.jsonl"]).bad();
    assert!(missing.contains("none.jsonl"), "{missing}");
    let line = json!({"version": 1, "seq": 99_999, "hash": "ab", "at": "2026-11-21T18:00:00Z"});
    place.write("kept.jsonl", &format!("{line}\n"));
    let ran = place.run(&["verify", "--checkpoints", "kept.jsonl"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.out.contains("line 1 of the checkpoint file kept.jsonl: the feed has no number 99999"),
        "{}",
        ran.out
    );
    // The configured file is compared by default, once it is there.
    let place = place.with("SIMDEPOT_CHECKPOINT_FILE", "kept.jsonl");
    assert_eq!(place.run(&["verify"]).code, Some(1));
    // One that is missing is no difference before the first checkpoint is due.
    let place = place.with("SIMDEPOT_CHECKPOINT_FILE", "later.jsonl");
    let report: Json = serde_json::from_str(&place.run(&["verify", "--json"]).good()).unwrap();
    assert!(report["feed"].as_u64().unwrap() > 0 && report["checkpoints"] == 0, "{report}");
}
