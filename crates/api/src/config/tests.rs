use std::time::Duration;

use super::*;

mod lines;
mod sps;

const KEY: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=";

const SPC: &str = r#"
[[carriers]]
account = "spc"
kind = "transatel"
base_url = "https://api.transatel.com"
client_id = "acme"
client_secret = "SESAME"
mvno_ref = "M2MA_WW_TSL_ACME"
cos = "WW_M2MA_COS_SPC"
"#;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    // Never the file that may lie in the folder of the test run.
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_variables(variables(pairs))
}

fn problem(pairs: &[(&str, &str)]) -> String {
    load(pairs).map(|_| String::from("accepted")).unwrap_or_else(|error| error.to_string())
}

fn carriers_of(text: &str, pairs: &[(&str, &str)]) -> Result<Vec<CarrierConfig>, String> {
    carriers::parse("depot.toml", text, &Variables::new(variables(pairs))).map_err(|error| error.to_string())
}

fn with_file(text: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut pairs = pairs.to_vec();
    pairs.push(("SIMDEPOT_CONFIG", file.path().to_str().unwrap()));
    load(&pairs)
}

#[test]
fn nothing_set_is_a_sandbox_on_loopback() {
    let config = load(&[]).unwrap();
    assert!(config.is_sandbox() && config.uses_sandbox_encryption() && config.migrate);
    assert_eq!(format!("{:?}", config.database), "sqlite://simdepot.db");
    assert_eq!((config.pool_size, config.workers, config.rate_limit), (8, 8, Some(50)));
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.spool_dir, std::env::temp_dir());
    assert!(config.bootstrap_key.is_none() && config.public_url.is_none());
    assert_eq!((config.webhook_targets, config.webhook_endpoints), (Targets::PublicOrThisMachine, 20));
}

#[test]
fn reads_every_variable() {
    let config = load(&[
        ("DATABASE_URL", "postgres://u:hunter2@db.example/d"),
        ("SIMDEPOT_DB_PLAINTEXT", "allow"),
        ("SIMDEPOT_DB_POOL", "3"),
        ("SIMDEPOT_MIGRATE", "off"),
        ("SIMDEPOT_LISTEN", "[::]:9000"),
        ("SIMDEPOT_PUBLIC_URL", "https://depot.example.com/esim/"),
        ("SIMDEPOT_RATE_LIMIT", "off"),
        ("SIMDEPOT_BOOTSTRAP_KEY", "sd_test_hunter2_hunter2_hunter2_hunter2"),
        ("SIMDEPOT_SPOOL_DIR", "/spool"),
        ("SIMDEPOT_WORKERS", "2"),
        ("SIMDEPOT_CHECKPOINT_FILE", "/kept/checkpoints.jsonl"),
        ("SIMDEPOT_WEBHOOK_ENDPOINTS", "50"),
        ("SIMDEPOT_ENCRYPTION_KEY", KEY),
        ("SIMDEPOT_ENCRYPTION_KEY_PREVIOUS", KEY),
    ])
    .unwrap();
    assert_eq!((config.pool_size, config.workers, config.rate_limit), (3, 2, None));
    assert_eq!(config.listen.to_string(), "[::]:9000");
    assert_eq!(config.public_url.as_deref(), Some("https://depot.example.com/esim"));
    assert_eq!(config.spool_dir, PathBuf::from("/spool"));
    assert_eq!(config.webhook_endpoints, 50);
    assert_eq!(config.checkpoint_file, Some(PathBuf::from("/kept/checkpoints.jsonl")));
    assert!(!config.migrate && !config.uses_sandbox_encryption() && config.bootstrap_key.is_some());
    assert!(config.store_options(true).unwrap().keys.previous.is_some());
    assert!(!format!("{config:?}").contains("hunter2") && !format!("{config:?}").contains(KEY));
}

#[test]
fn errors_name_the_variable() {
    for (name, value) in [
        ("DATABASE_URL", "mysql://x"),
        ("DATABASE_URL", "postgres://u@db.example/d"),
        ("SIMDEPOT_DB_PLAINTEXT", "yes"),
        ("SIMDEPOT_DB_POOL", "0"),
        ("SIMDEPOT_DB_POOL", "many"),
        ("SIMDEPOT_MIGRATE", "true"),
        ("SIMDEPOT_LISTEN", "8080"),
        ("SIMDEPOT_LISTEN", "depot.example.com:80"),
        ("SIMDEPOT_PUBLIC_URL", "depot.example.com"),
        ("SIMDEPOT_PUBLIC_URL", "https://user@depot.example.com"),
        ("SIMDEPOT_RATE_LIMIT", "0"),
        ("SIMDEPOT_RATE_LIMIT", "none"),
        ("SIMDEPOT_WORKERS", "0"),
        ("SIMDEPOT_WEBHOOK_ENDPOINTS", "0"),
        ("SIMDEPOT_ENCRYPTION_KEY", "hunter2"),
        ("SIMDEPOT_ENCRYPTION_KEY_PREVIOUS", "hunter2"),
    ] {
        let problem = problem(&[(name, value)]);
        assert!(problem.starts_with(&format!("{name} ")), "{name}={value}: {problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
    let missing = problem(&[("SIMDEPOT_CONFIG", "/nowhere/depot.toml")]);
    assert!(missing.starts_with("/nowhere/depot.toml: cannot be read"), "{missing}");
    let log = log(&Variables::new(variables(&[("SIMDEPOT_LOG_FORMAT", "xml")]))).unwrap_err();
    assert_eq!(log.to_string(), "SIMDEPOT_LOG_FORMAT must be text or json");
}

#[test]
fn an_empty_variable_counts_as_absent() {
    let config = load(&[("SIMDEPOT_LISTEN", ""), ("SIMDEPOT_ENCRYPTION_KEY_PREVIOUS", " ")]).unwrap();
    assert_eq!(config.listen.port(), 8080);
}

#[test]
fn misspelt_variables_are_told() {
    // Put together, because scripts/check-compose takes every whole name in the source for a variable that is read.
    let (misspelt, other) = (format!("SIMDEPOT_{}", "RATE_LIMT"), Variables::client_secret_of("spd"));
    let pairs = [(misspelt.as_str(), "1"), (other.as_str(), "x"), ("OTHER", "x")];
    let found = with_file(SPC, &[&pairs[..], &[("SIMDEPOT_ENCRYPTION_KEY", KEY)]].concat()).unwrap();
    assert_eq!(found.unknown_variables, [other, misspelt]);
}

#[test]
fn a_configured_carrier_needs_an_encryption_key() {
    let refused = with_file(SPC, &[]).unwrap_err().to_string();
    assert!(
        refused.starts_with("SIMDEPOT_ENCRYPTION_KEY must be set") && refused.contains("openssl rand"),
        "{refused}"
    );
    let config = with_file(SPC, &[("SIMDEPOT_ENCRYPTION_KEY", KEY)]).unwrap();
    assert!(!config.is_sandbox());
    assert!(!format!("{config:?}").contains("SESAME"));
}

#[test]
fn reads_an_account_with_its_defaults() {
    let carriers = carriers_of(SPC, &[]).unwrap();
    let [CarrierConfig::Transatel(spc)] = carriers.as_slice() else { panic!("one account: {carriers:?}") };
    assert_eq!((spc.account.as_str(), spc.base_url.as_str()), ("spc", "https://api.transatel.com"));
    assert_eq!((spc.timeout, spc.max_requests_per_second), (Duration::from_secs(15), 10));
    assert_eq!((spc.client_secret.expose_secret(), &spc.rate_plan), ("SESAME", &None));
    assert!(carriers_of("", &[]).unwrap().is_empty());
}

#[test]
fn the_environment_brings_the_secret() {
    let text = SPC.replace("\"spc\"", "\"eu-1.prod\"").replace("client_secret = \"SESAME\"", "");
    let variable = format!("SIMDEPOT_CARRIER_{}", "EU_1_PROD_CLIENT_SECRET");
    let error = carriers_of(&text, &[]).unwrap_err();
    assert!(error.contains("eu-1.prod: client_secret is missing") && error.contains(&variable), "{error}");
    let carriers = carriers_of(&text, &[(&variable, "from-env")]).unwrap();
    let CarrierConfig::Transatel(account) = &carriers[0] else { panic!("{carriers:?}") };
    assert_eq!(account.client_secret.expose_secret(), "from-env");
}

#[test]
fn errors_name_file_account_and_field() {
    let spc = |from: &str, to: &str| carriers_of(&SPC.replace(from, to), &[]).unwrap_err();
    let kind = spc("\"transatel\"", "\"sms\"");
    assert_eq!(kind, "depot.toml: carrier account spc: kind must be \"transatel\" or \"sps\"");
    assert!(spc("kind = \"transatel\"", "").contains("spc: kind must be"));
    assert_eq!(spc("cos = \"WW_M2MA_COS_SPC\"", ""), "depot.toml: carrier account spc: cos is missing");
    assert!(spc("cos =", "coz =").contains("spc: coz is not known; known are"), "{}", spc("cos =", "coz ="));
    assert!(spc("account = \"spc\"", "account = \"No Way\"").contains("No Way: account is wrong"));
    assert!(spc("account = \"spc\"", "").contains("carrier account #1: account is missing"));
    let secret = spc("\"SESAME\"", "20250101");
    assert!(
        secret.contains("spc: client_secret must be a string") && !secret.contains("20250101"),
        "{secret}"
    );
    assert!(spc("[[carriers]]", "timeout_ms = -1\n[[carriers]]").contains("timeout_ms is not known here"));
    let negative = carriers_of(&format!("{SPC}timeout_ms = -1"), &[]).unwrap_err();
    assert!(negative.contains("spc: timeout_ms must be u64"), "{negative}");
}

#[test]
fn a_syntax_error_does_not_quote_the_line() {
    let error = carriers_of(&SPC.replace("\"SESAME\"", "\"SESAME"), &[]).unwrap_err();
    assert!(error.starts_with("depot.toml: TOML parse error at line 7"), "{error}");
    assert!(!error.contains("SESAME"), "{error}");
}

#[test]
fn accounts_are_told_apart() {
    let twice = carriers_of(&format!("{SPC}{SPC}"), &[]).unwrap_err();
    assert_eq!(twice, "depot.toml: carrier account spc: account is the name of two accounts");
    let similar = format!("{}{}", SPC.replace("\"spc\"", "\"a-b\""), SPC.replace("\"spc\"", "\"a.b\""));
    assert_eq!(carriers_of(&similar, &[]).unwrap().len(), 2);
    let shared = carriers_of(&similar, &[(&Variables::client_secret_of("a-b"), "x")]).unwrap_err();
    assert!(shared.contains("would be the secret of both a-b and a.b"), "{shared}");
}

#[test]
fn a_wildcard_is_reached_by_loopback() {
    for (listen, reached) in
        [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")]
    {
        assert_eq!(reachable(listen.parse().unwrap()).to_string(), reached);
    }
}

#[test]
fn webhooks_go_to_public_addresses_unless_it_is_a_trial() {
    let own_key = ("SIMDEPOT_ENCRYPTION_KEY", KEY);
    let targets = |file: &str, pairs: &[(&str, &str)]| with_file(file, &[pairs, &[own_key]].concat());
    let trial = SPC.replace("https://api.transatel.com", "http://127.0.0.1:8090");
    let mixed = format!("{trial}{}", SPC.replace("\"spc\"", "\"other\""));
    for (file, expected) in [
        (SPC, Targets::Public),
        (trial.as_str(), Targets::PublicOrThisMachine),
        (mixed.as_str(), Targets::Public),
    ] {
        assert_eq!(targets(file, &[]).unwrap().webhook_targets, expected, "{file}");
        let set = |value| targets(file, &[("SIMDEPOT_WEBHOOK_TARGETS", value)]).unwrap().webhook_targets;
        assert_eq!((set("private"), set("public")), (Targets::All, Targets::Public));
    }
    let wrong = problem(&[("SIMDEPOT_WEBHOOK_TARGETS", "everything")]);
    assert!(wrong.contains("SIMDEPOT_WEBHOOK_TARGETS") && wrong.contains("public or private"), "{wrong}");
}
