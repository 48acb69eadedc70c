//! Commands that end by themselves.

use serde_json::Value as Json;

use crate::binary::Place;

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OTHER_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
const CREATE: [&str; 8] = ["keys", "create", "--name", "shop", "--channel", "web", "--scope", "stock"];

#[test]
fn help_names_every_command() {
    let place = Place::new();
    let help = place.run(&["--help"]).good();
    for command in [
        "serve",
        "migrate",
        "import",
        "openapi",
        "keys",
        "doctor",
        "verify",
        "reconcile",
        "twin",
        "qr",
        "healthcheck",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {help}");
        let own = place.run(&[command, "--help"]).good();
        assert!(own.contains("Usage: simdepot"), "{own}");
    }
    assert!(place.run(&["--version"]).good().starts_with("simdepot "));
    assert_eq!(place.run(&["no-such-command"]).code, Some(2));
    assert_eq!(std::fs::read_dir(place.folder.path()).unwrap().count(), 0, "nothing is left lying");
}

#[test]
fn the_document_is_the_committed_one() {
    let committed = include_str!("../../openapi/simdepot.v1.json");
    assert_eq!(Place::new().run(&["openapi"]).good(), committed);
}

#[test]
fn migrations_are_applied_once() {
    let place = Place::new().with("DATABASE_URL", "sqlite://depot.db");
    for _ in 0..2 {
        place.run(&["migrate"]).good();
    }
    assert!(place.folder.path().join("depot.db").exists());
    let report = place.run(&["verify"]).good();
    assert!(report.contains("no difference"), "{report}");
    let report: Json = serde_json::from_str(&place.run(&["verify", "--json"]).good()).unwrap();
    assert_eq!(report["findings"], serde_json::json!([]));
}

#[test]
fn verify_neither_makes_nor_migrates_a_database() {
    let place = Place::new().with("DATABASE_URL", "sqlite://depot.db").with("SIMDEPOT_MIGRATE", "off");
    let error = place.run(&["verify"]).bad();
    assert!(error.contains("simdepot: "), "{error}");
    let error = place.run(&CREATE).bad();
    assert!(error.contains("migrat"), "{error}");
}

/// A depot with an account that nobody answers for: what works on the store asks no carrier.
fn with_an_account(key: &str) -> Place {
    let place = Place::new()
        .with("SIMDEPOT_ENCRYPTION_KEY", key)
        .with("SIMDEPOT_CARRIER_SPC_CLIENT_SECRET", "sandbox-secret");
    place.write(
        "simdepot.toml",
        "[[carriers]]\naccount = \"spc\"\nkind = \"transatel\"\nbase_url = \"http://127.0.0.1:1\"\nclient_id = \"c\"\n\
         mvno_ref = \"M\"\ncos = \"C\"\n",
    );
    place
}

#[test]
fn a_sandbox_is_what_has_neither_accounts_nor_a_key() {
    let place = Place::new();
    assert!(place.run(&["doctor"]).good().contains("would run as a sandbox"));
    let place = place.with("SIMDEPOT_ENCRYPTION_KEY", KEY);
    for command in [["doctor"].as_slice(), &CREATE, &["serve"]] {
        let refused = place.run(command).bad();
        assert!(refused.contains("no carrier account is configured"), "{command:?}: {refused}");
        assert!(refused.contains("SIMDEPOT_CONFIG") && !refused.contains(KEY), "{command:?}: {refused}");
    }
    assert!(place.files().is_empty(), "no database is made: {:?}", place.files());
    // What needs no account works without one.
    for command in ["migrate", "verify"] {
        place.run(&[command]).good();
    }
    assert!(place.run(&["keys", "rotate-encryption"]).good().contains("0 keys wrapped again"));
}

#[test]
fn a_key_is_printed_alone() {
    let place = with_an_account(KEY);
    let ran = place.run(&CREATE);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let key = ran.out.strip_suffix('\n').unwrap();
    assert!(key.starts_with("sd_") && key.bytes().all(|byte| byte.is_ascii_graphic()), "one line, the key");
    assert!(!ran.err.contains(key), "never in the log");
    let error = place.run(&["keys", "create", "--name", "n", "--channel", "web"]);
    assert_eq!(error.code, Some(2), "{error:?}");
    let late = [CREATE.as_slice(), &["--expires-at", "2001-01-01T00:00:00Z"]].concat();
    let error = place.run(&late).bad();
    assert!(error.contains("--expires-at must be in the future"), "{error}");
}

#[test]
fn another_encryption_key_is_refused() {
    let place = with_an_account(KEY);
    place.run(&CREATE).good();
    let place = place.with("SIMDEPOT_ENCRYPTION_KEY", OTHER_KEY);
    for command in [CREATE.as_slice(), &["serve"], &["verify"], &["migrate"]] {
        let error = place.run(command).bad();
        assert!(error.contains("SIMDEPOT_ENCRYPTION_KEY"), "{command:?}: {error}");
        assert!(!error.contains(KEY) && !error.contains(OTHER_KEY), "{error}");
    }
    let place = place.with("SIMDEPOT_ENCRYPTION_KEY", "short");
    let error = place.run(&["migrate"]).bad();
    assert!(error.contains("SIMDEPOT_ENCRYPTION_KEY cannot be used"), "{error}");
}

#[test]
fn a_database_that_must_not_be_used_is_refused() {
    for (url, word) in [
        ("postgres://depot:hunter2@db.example.com/depot", "TLS"),
        ("postgres://depot:hunter2@db.example.com/depot?sslmode=prefer", "TLS"),
        ("mysql://depot:hunter2@localhost/depot", "sqlite://"),
        ("depot.db", "sqlite://"),
    ] {
        let place = Place::new().with("DATABASE_URL", url);
        for command in ["migrate", "serve", "verify"] {
            let error = place.run(&[command]).bad();
            assert!(error.contains("DATABASE_URL") && error.contains(word), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

#[test]
fn a_setting_that_cannot_be_is_named() {
    for (name, value) in [
        ("SIMDEPOT_LISTEN", "everywhere"),
        ("SIMDEPOT_RATE_LIMIT", "0"),
        ("SIMDEPOT_MIGRATE", "maybe"),
        ("SIMDEPOT_PUBLIC_URL", "depot.example.com"),
        ("SIMDEPOT_CONFIG", "no-such-file.toml"),
        ("SIMDEPOT_LOG_FORMAT", "xml"),
        ("RUST_LOG", "simdepot=loud"),
    ] {
        let error = Place::new().with(name, value).run(&["serve"]).bad();
        let word = if name == "SIMDEPOT_CONFIG" { value } else { name };
        assert!(error.contains(word), "{name}: {error}");
    }
    let exposed = Place::new().with("SIMDEPOT_LISTEN", "0.0.0.0:0").run(&["serve"]).bad();
    assert!(exposed.contains("SIMDEPOT_BOOTSTRAP_KEY"), "{exposed}");
    let weak = Place::new().with("SIMDEPOT_BOOTSTRAP_KEY", "too-short").run(&["serve"]).bad();
    assert!(weak.contains("SIMDEPOT_BOOTSTRAP_KEY") && !weak.contains("too-short"), "{weak}");
}
