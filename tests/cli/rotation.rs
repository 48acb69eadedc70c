//! The encryption key is rotated beside a running server; checkpoints are kept in a file and compared.

use serde_json::{Value as Json, json};

use crate::binary::Place;

const OLD: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const NEW: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
const LOST: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=";

#[test]
fn a_key_is_rotated_beside_a_running_server() {
    let place = Place::new().with("DATABASE_URL", "sqlite://depot.db").with("SIMDEPOT_ENCRYPTION_KEY", OLD);
    // A sandbox with stock, so that there are data keys.
    place.serve().stop();
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
    let place = Place::new().with("DATABASE_URL", "sqlite://depot.db").with("SIMDEPOT_ENCRYPTION_KEY", OLD);
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
