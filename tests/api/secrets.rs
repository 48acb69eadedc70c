//! No code, matching id or key in clear: not at rest, in logs, metrics or lists, and not in what Rust would print.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::json;
use simdepot_tests::app::{TestLine, delivery_file, text, unique};
use simdepot_tests::{TestApp, on_both_databases};
use tracing_subscriber::fmt::MakeWriter;

use crate::{PRODUCT, order_with};

/// Everything that this process has logged since the first call of [`logs`].
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Starts to keep the logs of simdepot's crates and its web server, at the finest level.
fn logs() -> Logs {
    static LOGS: OnceLock<Logs> = OnceLock::new();
    let start = || {
        let logs = Logs::default();
        let filter = tracing_subscriber::EnvFilter::new(
            "simdepot=trace,actix=trace,tracing_actix_web=trace,diesel=trace",
        );
        let subscriber =
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(logs.clone()).with_ansi(false);
        subscriber.init();
        logs
    };
    LOGS.get_or_init(start).clone()
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

fn assert_clean(place: &str, bytes: &[u8], secrets: &[&str]) {
    for (number, secret) in secrets.iter().enumerate() {
        // The secret itself stays out of the test's output as well.
        assert!(!contains(bytes, secret), "{place} has secret {number} in clear");
    }
}

on_both_databases! {
    async fn the_main_job_leaves_no_code_in_clear(db: TestDatabase) {
        let logs = logs();
        let app = TestApp::start_on(db).await;
        if app.twin().is_none() {
            return app.finish().await;
        }
        let lines = app.deliver(4).await;
        let (_, key) = app.new_key("default", &["storefront", "stock"]).await;
        let secrets: Vec<&str> =
            lines.iter().map(TestLine::matching_id).chain([app.key.as_str(), &key]).collect();
        let reference = unique("order");
        let body = order_with(PRODUCT, &reference, &app.pool, 2);
        let placed = app.post("/v1/orders", &body).key(&key).send().await.expect_status(201);
        assert_eq!(
            secrets.iter().filter(|secret| contains(&placed.body, secret)).count(),
            2,
            "the two that were sold"
        );
        let id = text(&placed.json(), "/id");
        for path in ["activation", "qr.svg", "qr.png"] {
            for line in &lines {
                app.get(&format!("/v1/profiles/{}/{path}", line.iccid)).key(&key).send().await;
            }
        }
        // Requests that fail with a secret inside.
        let wrong = json!({"reference": lines[0].code, "lines": [{"pool": app.pool, "quantity": 0}]});
        app.post("/v1/orders", &wrong).send().await.expect_status(422);
        app.import(format!(
            "ICCID;ActivationCode\n12;{}\n{};{}$$$$\n",
            lines[0].code, lines[1].iccid, lines[1].code
        ))
        .send()
        .await
        .expect_status(201);
        app.get(&format!("/v1/profiles?q={}", lines[3].matching_id())).send().await.expect_status(200);
        app.get("/v1/pools").key(&format!("{key}x")).send().await.expect_status(401);
        for path in [
            "/metrics".to_owned(),
            format!("/v1/orders?reference={reference}"),
            format!("/v1/orders/{id}"),
            format!("/v1/profiles?pool={}", app.pool),
            format!("/v1/imports?pool={}", app.pool),
            "/v1/operations?limit=200".to_owned(),
            "/v1/api-keys?limit=200".to_owned(),
        ] {
            let answer = app.get(&path).send().await.expect_status(200);
            assert_clean(&path, &answer.body, &secrets);
        }
        let log = logs.0.lock().unwrap().clone();
        if let Some(at_rest) = app.bytes_at_rest() {
            assert!(
                contains(&at_rest, &reference) && contains(&at_rest, &lines[0].iccid),
                "the database was read"
            );
            assert_clean("the database", &at_rest, &secrets);
            assert!(contains(&log, "answered") && contains(&log, "/v1/orders"), "the logs were kept");
        }
        assert_clean("the log", &log, &secrets);
        app.finish().await;
    }
}

/// Does not compile when a type can be printed by `{:?}`: both implementations would fit.
macro_rules! assert_cannot_be_printed {
    ($($type:ty),+ $(,)?) => {{
        trait Printable<Marker> {
            fn fits() {}
        }
        struct Other;
        impl<T: ?Sized> Printable<()> for T {}
        impl<T: ?Sized + std::fmt::Debug> Printable<Other> for T {}
        $(<$type as Printable<_>>::fits();)+
    }};
}

#[test]
fn what_rust_would_print_has_no_code() {
    use simdepot_api::dto::{activation::Activation, api_key::NewKey, order};
    use simdepot_domain::delivery::{Format, Reader};

    // Answers that hold secrets.
    assert_cannot_be_printed!(Activation, NewKey, order::Order, order::OrderLine, order::OrderProfile);
    // What carries them further in.
    let line = TestLine::new();
    let file = delivery_file(std::slice::from_ref(&line));
    let row = Reader::new(file.as_bytes(), Format::Delivery).unwrap().next().unwrap().unwrap();
    let code = row.activation_code.clone().unwrap();
    assert_eq!(code.lpa(), line.lpa());
    let printed = format!("{row:?} {code:?} {:?} {line:?}", code.matching_id());
    assert!(printed.contains(&line.iccid) && !contains(printed.as_bytes(), line.matching_id()), "{printed}");
    assert!(!printed.contains("12345678"), "the PUK");
}
