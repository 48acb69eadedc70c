//! Opening the store, its units of work, and the operator's keys.

use std::sync::Arc;
use std::time::Duration;

use simdepot_domain::delivery::Format;
use simdepot_persistence::store::StoreOptions;
use simdepot_persistence::vault::{VaultError, WrappingKey, WrappingKeys};
use simdepot_persistence::{Backend, DatabaseUrl, Store, StoreError, UrlError, imports, pools};
use simdepot_tests::{TestClock, TestDatabase, on_both_databases};

use crate::support::{Stock, make_pool, new_import, now, settings};

const OTHER_KEY: [u8; 32] = [43; 32];

fn open(db: &TestDatabase, current: [u8; 32], previous: Option<[u8; 32]>) -> Result<Store, StoreError> {
    let keys = WrappingKeys {
        current: WrappingKey::from_bytes(current),
        previous: previous.map(WrappingKey::from_bytes),
    };
    Store::open(StoreOptions { keys, ..db.options() }, Arc::new(TestClock::default()))
}

fn vault_error(opened: Result<Store, StoreError>) -> VaultError {
    match opened {
        Err(StoreError::Vault(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the store opened"),
    }
}

on_both_databases! {
    async fn a_wrong_encryption_key_is_refused_and_the_previous_one_accepted(db: TestDatabase) {
        let key = simdepot_tests::database::KEY;
        let sealed_with = open(&db, key, None).unwrap().vault().blind_index("smdp.example$CODE");
        let refused = vault_error(open(&db, OTHER_KEY, None));
        let (needed, given) = (
            WrappingKey::from_bytes(key).id().to_owned(),
            WrappingKey::from_bytes(OTHER_KEY).id().to_owned(),
        );
        assert_eq!(refused, VaultError::WrongKey { needed, given });
        assert!(refused.to_string().contains("SIMDEPOT_ENCRYPTION_KEY_PREVIOUS"));
        // The index key does not change with the wrapping key: codes sealed before are still found.
        let rotated = open(&db, OTHER_KEY, Some(key)).unwrap();
        assert_eq!(rotated.vault().blind_index("smdp.example$CODE"), sealed_with);
        let printed = format!("{rotated:?} {:?}", rotated.vault());
        assert!(!printed.contains("42, 42") && !printed.contains("2a2a2a"), "{printed}");
    }

    /// A wrapped key that was changed or moved does not open, and does not become a new one.
    async fn a_tampered_key_is_refused(db: TestDatabase) {
        drop(db.store());
        let tampered = match db.backend() {
            Backend::Postgres => "wrapped = set_byte(wrapped, 20, (get_byte(wrapped, 20) + 1) % 256)",
            Backend::Sqlite => "wrapped = randomblob(60)",
        };
        db.raw().execute(&format!("UPDATE wrapped_keys SET {tampered} WHERE purpose = 'index'"));
        assert_eq!(vault_error(open(&db, simdepot_tests::database::KEY, None)), VaultError::Sealed);
        assert_eq!(db.raw().number("SELECT COUNT(*) AS value FROM wrapped_keys"), 1);
    }

    async fn an_error_rolls_the_whole_unit_of_work_back(db: TestDatabase) {
        let store = db.store();
        let failed = store.write(|conn| {
            pools::insert(conn, &settings("one", 0), now())?;
            Err::<(), _>(StoreError::Busy)
        });
        assert!(matches!(failed.await, Err(StoreError::Busy)));
        assert_eq!(store.read(pools::list).await.unwrap(), vec![]);
        let refused = store.write(|conn| {
            pools::insert(conn, &settings("one", 0), now())?;
            pools::insert(conn, &settings("one", 0), now())
        });
        assert!(matches!(refused.await, Err(StoreError::Unique { .. })));
        assert_eq!(store.read(pools::list).await.unwrap(), vec![]);
        make_pool(&store, "one", 0).await;
    }

    /// A panic inside is an error outside; its connection does not come back with a half-done transaction.
    async fn a_panic_rolls_back_and_frees_its_connection(db: TestDatabase) {
        let store = db.store();
        for _ in 0..25 {
            let panicked = store.write(|conn| -> Result<(), StoreError> {
                pools::insert(conn, &settings("one", 0), now())?;
                panic!("on purpose")
            });
            assert!(matches!(panicked.await, Err(StoreError::Aborted(_))));
        }
        assert_eq!(store.read(pools::list).await.unwrap(), vec![]);
        make_pool(&store, "one", 0).await;
    }

    /// A client that goes away drops the future; the unit of work runs to its end.
    async fn a_dropped_future_still_commits(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let (started, has_started) = tokio::sync::oneshot::channel();
        let new = new_import(&stock.pool, "dropped");
        let id = new.id;
        let store = stock.store.clone();
        let client = tokio::spawn(async move {
            store
                .write(move |conn| {
                    started.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(200));
                    imports::insert(conn, &new, now())
                })
                .await
        });
        has_started.await.unwrap();
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
        let mut found = None;
        for _ in 0..50 {
            found = stock.store.read(move |conn| imports::find(conn, id)).await.unwrap();
            if found.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(found.unwrap().format, Format::Delivery);
        // Its slot is free again: as many units of work as there are connections run at once.
        let all: Vec<_> = (0..40)
            .map(|_| {
                let store = stock.store.clone();
                tokio::spawn(async move { store.write(|conn| pools::list(conn).map(|all| all.len())).await })
            })
            .collect();
        for unit in all {
            assert_eq!(unit.await.unwrap().unwrap(), 1);
        }
    }

    async fn the_clock_of_leases_is_the_databases(db: TestDatabase) {
        let clock = Arc::new(TestClock::default());
        let store = db.store_with(clock.clone());
        clock.advance(chrono::TimeDelta::hours(5));
        let told = store.now().await.unwrap();
        let ahead = told - now();
        match db.backend() {
            Backend::Postgres => assert!(ahead.num_minutes().abs() < 5, "{ahead}"),
            Backend::Sqlite => assert!((ahead.num_minutes() - 300).abs() < 5, "{ahead}"),
        }
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_says_so_without_the_password() {
    let keys = || WrappingKeys { current: WrappingKey::from_bytes(OTHER_KEY), previous: None };
    for url in [
        "postgres://user:hunter2@127.0.0.1:1/none?connect_timeout=2",
        "sqlite:///nonexistent-folder/simdepot.db",
    ] {
        let url: DatabaseUrl = url.parse().unwrap();
        let options = StoreOptions { url, pool_size: 2, migrate: true, keys: keys(), turnstile: None };
        assert!(!format!("{options:?}").contains("hunter2"));
        let error = Store::open(options, Arc::new(TestClock::default())).unwrap_err();
        assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
        assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn database_urls_are_told_apart_and_refused_by_name() {
    for bad in ["mysql://x", "test.db", "", "POSTGRES//x"] {
        assert_eq!(bad.parse::<DatabaseUrl>(), Err(UrlError::Scheme), "{bad}");
    }
    for bad in ["sqlite://", "postgres://", "postgresql://"] {
        assert_eq!(bad.parse::<DatabaseUrl>(), Err(UrlError::Empty), "{bad}");
    }
    let remote: DatabaseUrl = "postgres://u:hunter2@db.example/d".parse().unwrap();
    let refused = remote.clone().require_tls(false, |_| false).unwrap_err();
    assert_eq!(refused, UrlError::Plaintext);
    assert!(refused.to_string().contains("SIMDEPOT_DB_PLAINTEXT"));
    assert!(remote.require_tls(true, |_| false).is_ok());
}
