//! No code, PIN, PUK, client secret or key in clear: in the database, the log, errors or Debug output.

use std::fmt::Debug;
use std::io;
use std::sync::{Mutex, PoisonError};

use simdepot_application::api_keys::{self, NewApiKey};
use simdepot_application::imports::{self, StartImport};
use simdepot_application::{bundles, orders, profiles};
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::channel::{ChannelName, Scope};
use simdepot_domain::import::OnError;
use simdepot_tests::depot::{PRODUCT, stock_keeper, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

/// Everything that is logged while the tests of this binary run.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct IntoLog;

impl io::Write for IntoLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn keep_the_log() {
    // Only the first test installs it.
    let _ = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(|| IntoLog)
        .try_init();
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What was printed of everything that a caller of the use cases gets into its hands.
#[derive(Default)]
struct Printed(String);

impl Printed {
    fn add(&mut self, value: &impl Debug) {
        self.0.push_str(&format!("{value:?}\n{value:#?}\n"));
    }
}

on_both_databases! {
    async fn nothing_secret_is_in_clear(db: TestDatabase) {
        keep_the_log();
        let test = TestDepot::start(db).await;
        let mut printed = Printed::default();
        let (keeper, shop) = (stock_keeper("default"), storefront("default"));
        let lines = test.deliver(6).await;
        let file = "ICCID;PIN;ActivationCode\n8988247000000000017;12;1$smdp.example$BAD-ROW-SESAME\n\
                    8988247000000000025;1234;9$smdp.example$BAD-CODE-SESAME\n";
        let skip = StartImport { on_error: OnError::Skip, ..test.import_of() };
        let (import, _) = test.import(file, skip).await.unwrap();
        printed.add(&import);
        printed.add(&imports::rows(&test.depot, import.import.id, 0, 10).await.unwrap());

        let fulfilled = test.order("plain", 1).await.unwrap();
        assert!(fulfilled.order.lines[0].profiles[0].activation.is_some());
        printed.add(&fulfilled);
        for fault in [
            None,
            Some(Fault::RefuseTitle { status: 400, title: "PRODUCT_NOT_ELIGIBLE".to_owned() }),
            Some(Fault::TooMany429 { retry_after: None }),
            Some(Fault::DropAfterApply),
        ] {
            let reference = format!("{fault:?}");
            if let Some(fault) = fault {
                test.twin.twin().add_script(Script::once(CallName::Order, fault));
            }
            let id = test.order_with_product(&reference, 1).await.unwrap().order.order.id;
            test.work_until_settled().await;
            printed.add(&orders::get(&test.depot, &shop, id, true).await);
            printed.add(&test.read_order(id).await);
        }
        test.top_up(&lines[0].iccid, "top", PRODUCT).await.unwrap();
        test.work_until_settled().await;
        for line in &lines {
            printed.add(line);
            printed.add(&profiles::get(&test.depot, &keeper, line.iccid.clone()).await);
            printed
                .add(&simdepot_application::activation::reveal(&test.depot, &shop, line.iccid.clone()).await);
            printed.add(&bundles::list(&test.depot, &shop, line.iccid.clone()).await);
        }
        let new = NewApiKey {
            name: "till".to_owned(),
            channel: ChannelName::parse("default").unwrap(),
            scopes: vec![Scope::Storefront],
            expires_at: None,
            test: true,
        };
        let (created, _) = api_keys::create(&test.depot, &keeper, new, None).await.unwrap();
        printed.add(&created);
        printed.add(&test.depot);
        printed.add(&test.depot.accounts);
        printed.add(&test.operations(None).await);

        let mut secrets =
            vec!["BAD-ROW-SESAME".to_owned(), "BAD-CODE-SESAME".to_owned(), "sandbox-secret".to_owned()];
        for line in &lines {
            secrets.push(line.activation_code.as_ref().unwrap().matching_id().expose().to_owned());
        }
        let key_hint = &created.key.hint;
        let at_rest = test.db.bytes_at_rest();
        let log = LOG.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // That the searches find what is there.
        assert!(contains(&at_rest, lines[0].iccid.as_str()) && contains(&at_rest, key_hint));
        assert!(contains(&log, "operation put off") && printed.0.contains(lines[0].iccid.as_str()));
        for secret in &secrets {
            assert!(!printed.0.contains(secret.as_str()), "printed: {secret}");
            assert!(!contains(&at_rest, secret), "at rest: {secret}");
            assert!(!contains(&log, secret), "logged: {secret}");
        }
        // PINs and PUKs are too short to be searched for in a whole database: where they are printed, they are named.
        for line in &lines {
            let (pin, puk) = (format!("\"{}\"", line.pin.expose()), line.puk.expose());
            assert!(!printed.0.contains(&pin) && !printed.0.contains(puk));
        }
        let key = secret_of(&created);
        assert!(!printed.0.contains(&key) && !contains(&at_rest, &key) && !contains(&log, &key));
        test.finish().await;
    }
}

/// The new key itself.
fn secret_of(created: &api_keys::CreatedApiKey) -> String {
    use secrecy::ExposeSecret as _;
    created.secret.as_ref().unwrap().expose_secret().to_owned()
}
