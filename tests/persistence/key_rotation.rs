//! Rotating the operator's key: everything opens before, during and after.

use std::sync::Arc;

use simdepot_domain::clock::SystemClock;
use simdepot_persistence::store::StoreOptions;
use simdepot_persistence::vault::{SecretField, VaultError, Wrapped, WrappingKey, WrappingKeys};
use simdepot_persistence::{Store, StoreError};
use simdepot_tests::database::KEY;
use simdepot_tests::{TestDatabase, on_both_databases};
use uuid::Uuid;

const ICCID: &str = "8988247000000000012";

fn open(db: &TestDatabase, current: [u8; 32], previous: Option<[u8; 32]>) -> Result<Store, StoreError> {
    let keys = WrappingKeys {
        current: WrappingKey::from_bytes(current),
        previous: previous.map(WrappingKey::from_bytes),
    };
    Store::open(StoreOptions { keys, ..db.options() }, Arc::new(SystemClock))
}

async fn new_key(store: &Store) -> (Uuid, Vec<u8>) {
    let keys = store.clone();
    let key = store.write(move |conn| keys.vault().new_data_key(conn)).await.unwrap();
    (key.id, key.seal(SecretField::Pin, ICCID, "1234").unwrap())
}

async fn opens(store: &Store, (id, sealed): &(Uuid, Vec<u8>)) -> Result<bool, StoreError> {
    let (keys, id) = (store.clone(), *id);
    let key = store.read(move |conn| keys.vault().data_key(conn, id)).await?;
    Ok(key.open(SecretField::Pin, ICCID, sealed)?.expose() == "1234")
}

async fn rewrap(store: &Store, limit: i64) -> Result<u64, StoreError> {
    let keys = store.clone();
    store.write(move |conn| keys.vault().rewrap(conn, limit)).await
}

async fn wrapped(store: &Store) -> Result<Wrapped, StoreError> {
    let keys = store.clone();
    store.read(move |conn| keys.vault().wrapped(conn)).await
}

on_both_databases! {
    async fn everything_opens_before_during_and_after(db: TestDatabase) {
        const NEW: [u8; 32] = [7; 32];
        let old = open(&db, KEY, None).unwrap();
        let index = old.vault().blind_index("code");
        let mut keys = Vec::new();
        for _ in 0..5 {
            keys.push(new_key(&old).await);
        }
        assert!(opens(&old, &keys[0]).await.unwrap());
        assert_eq!(rewrap(&old, 10).await.unwrap(), 0, "nothing to do");
        let both = open(&db, NEW, Some(KEY)).unwrap();
        assert_eq!(wrapped(&both).await.unwrap(), Wrapped { current: 0, previous: 6 });
        // In part, as when it is stopped.
        assert_eq!(rewrap(&both, 2).await.unwrap(), 2);
        assert_eq!(wrapped(&both).await.unwrap(), Wrapped { current: 2, previous: 4 });
        let beside = open(&db, NEW, Some(KEY)).unwrap();
        for key in &keys {
            assert!(opens(&beside, key).await.unwrap());
        }
        keys.push(new_key(&beside).await);
        // Again, by another process, to its end.
        assert_eq!(rewrap(&beside, 100).await.unwrap(), 4);
        assert_eq!(rewrap(&both, 100).await.unwrap(), 0);
        assert_eq!(wrapped(&both).await.unwrap(), Wrapped { current: 7, previous: 0 });
        let new = open(&db, NEW, None).unwrap();
        for key in &keys {
            assert!(opens(&new, key).await.unwrap());
            assert!(opens(&both, key).await.unwrap(), "a running server goes on");
        }
        // A server that knows the old key alone goes on with what it had opened, and with nothing else.
        assert!(opens(&old, &keys[0]).await.unwrap());
        let refused = opens(&old, &keys[1]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Vault(VaultError::WrongKey { .. })), "{refused}");
        assert_eq!(new.vault().blind_index("code"), index, "indexes stay");
        let refused = open(&db, KEY, None).unwrap_err();
        assert!(matches!(refused, StoreError::Vault(VaultError::WrongKey { .. })), "{refused}");
    }

    async fn a_key_that_was_not_given_is_named(db: TestDatabase) {
        const NEW: [u8; 32] = [7; 32];
        let old = open(&db, KEY, None).unwrap();
        new_key(&old).await;
        let lost = WrappingKey::from_bytes([9; 32]).id().to_owned();
        db.raw().execute(&format!("UPDATE wrapped_keys SET key_id = '{lost}' WHERE purpose = 'data'"));
        let missing = VaultError::KeyMissing { needed: lost.clone(), keys: 1, total: 2 };
        // At the start, and in a process that had started before.
        for refused in [open(&db, NEW, Some(KEY)).map(|_| ()), wrapped(&old).await.map(|_| ())] {
            assert!(matches!(refused.unwrap_err(), StoreError::Vault(error) if error == missing));
        }
        let refused = rewrap(&old, 10).await.unwrap_err().to_string();
        assert!(refused.contains(&lost), "{refused}");
        assert_eq!(
            db.raw().number(&format!("SELECT COUNT(*) AS value FROM wrapped_keys WHERE key_id = '{lost}'")),
            1
        );
    }

    /// The index key is wrapped anew, so that the database opens; a data key is not, because a server that knew the old
    /// key alone has added it, or because the rotation did not come so far.
    async fn what_a_rotation_left_out_is_noticed_at_the_start(db: TestDatabase) {
        const NEW: [u8; 32] = [7; 32];
        let old = open(&db, KEY, None).unwrap();
        let both = open(&db, NEW, Some(KEY)).unwrap();
        assert_eq!(rewrap(&both, 100).await.unwrap(), 1);
        let key = new_key(&old).await;
        assert_eq!(wrapped(&both).await.unwrap(), Wrapped { current: 1, previous: 1 });
        let missing =
            VaultError::KeyMissing { needed: WrappingKey::from_bytes(KEY).id().to_owned(), keys: 1, total: 2 };
        assert!(missing.to_string().contains("keys rotate-encryption"), "{missing}");
        let refused = open(&db, NEW, None).unwrap_err();
        assert!(matches!(&refused, StoreError::Vault(error) if *error == missing), "{refused}");
        // With both it starts, and after the rest is done with the new one alone.
        let again = open(&db, NEW, Some(KEY)).unwrap();
        assert_eq!(rewrap(&again, 100).await.unwrap(), 1);
        assert!(opens(&open(&db, NEW, None).unwrap(), &key).await.unwrap());
    }

    /// Every process is taught the new key before one begins to wrap with it.
    async fn a_rolling_restart_leaves_no_process_without_a_key(db: TestDatabase) {
        const NEW: [u8; 32] = [7; 32];
        let taught = open(&db, KEY, Some(NEW)).unwrap();
        let mut keys = vec![new_key(&taught).await];
        let changed = open(&db, NEW, Some(KEY)).unwrap();
        keys.push(new_key(&changed).await);
        keys.push(new_key(&taught).await);
        for store in [&taught, &changed] {
            for key in &keys {
                assert!(opens(store, key).await.unwrap());
            }
        }
        assert_eq!(wrapped(&changed).await.unwrap(), Wrapped { current: 1, previous: 3 });
        assert_eq!(wrapped(&taught).await.unwrap(), Wrapped { current: 3, previous: 1 });
    }

    async fn two_rotations_at_once_do_the_work_once(db: TestDatabase) {
        const NEW: [u8; 32] = [7; 32];
        let old = open(&db, KEY, None).unwrap();
        for _ in 0..30 {
            new_key(&old).await;
        }
        let rotations: Vec<_> = (0..3)
            .map(|_| {
                let store = open(&db, NEW, Some(KEY)).unwrap();
                tokio::spawn(async move {
                    let mut done = 0;
                    loop {
                        match rewrap(&store, 4).await {
                            Ok(0) => return done,
                            Ok(more) => done += more,
                            Err(StoreError::RowsAffected { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        let mut done = 0;
        for rotation in rotations {
            done += rotation.await.unwrap();
        }
        assert_eq!(done, 31);
        assert_eq!(wrapped(&open(&db, NEW, None).unwrap()).await.unwrap(), Wrapped { current: 31, previous: 0 });
    }
}
