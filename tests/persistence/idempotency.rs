//! Idempotency keys.

use chrono::TimeDelta;
use simdepot_persistence::StoreError;
use simdepot_persistence::idempotency::{self, KEPT, Record};
use simdepot_tests::on_both_databases;

use crate::support::{channel, now};

fn record(key: &str, resource: &str) -> Record {
    Record {
        channel: channel("shop"),
        key: key.to_owned(),
        request: "POST /v1/orders".to_owned(),
        body_hash: vec![1, 2, 3],
        status: 201,
        resource_id: resource.to_owned(),
    }
}

on_both_databases! {
    async fn a_key_is_kept_for_a_day_and_then_free(db: TestDatabase) {
        let store = db.store();
        let start = now();
        let (first, second) = (record("k1", "ord_1"), record("k1", "ord_2"));
        let third = second.clone();
        let expected = first.clone();
        let (made, repeated) = store
            .write(move |conn| {
                Ok::<_, StoreError>((
                    idempotency::insert(conn, &first, start)?,
                    idempotency::insert(conn, &second, start + TimeDelta::hours(23))?,
                ))
            })
            .await
            .unwrap();
        assert!(made && !repeated);
        let find = |channel_name: &'static str, at| {
            let store = store.clone();
            async move {
                let channel = channel(channel_name);
                store.read(move |conn| idempotency::find(conn, &channel, "k1", at)).await.unwrap()
            }
        };
        assert_eq!(find("shop", start + TimeDelta::hours(23)).await, Some(expected));
        assert_eq!(find("other", start).await, None);
        assert_eq!(find("shop", start + KEPT).await, None);
        assert!(store.write(move |conn| idempotency::insert(conn, &third, start + KEPT)).await.unwrap());
        assert_eq!(find("shop", start + KEPT).await.unwrap().resource_id, "ord_2");
    }

    async fn expired_keys_are_purged(db: TestDatabase) {
        let store = db.store();
        let start = now();
        let purged = store.write(move |conn| {
            idempotency::insert(conn, &record("old", "ord_1"), start - KEPT)?;
            idempotency::insert(conn, &record("new", "ord_2"), start)?;
            Ok::<_, StoreError>((idempotency::purge(conn, start)?, idempotency::purge(conn, start)?))
        });
        assert_eq!(purged.await.unwrap(), (1, 0));
        assert_eq!(db.raw().texts("SELECT key AS value FROM idempotency_keys"), ["new"]);
    }

    async fn of_many_at_once_one_takes_the_key(db: TestDatabase) {
        let store = db.store();
        let races: Vec<_> = (0..16)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move {
                    store
                        .write(move |conn| {
                            let taken =
                                idempotency::insert(conn, &record("k", &format!("ord_{number}")), now())?;
                            // The others wait for this one's end before they are told.
                            std::thread::sleep(std::time::Duration::from_millis(5));
                            Ok::<_, StoreError>(taken)
                        })
                        .await
                        .unwrap()
                })
            })
            .collect();
        let mut taken = 0;
        for race in races {
            taken += usize::from(race.await.unwrap());
        }
        assert_eq!(taken, 1);
    }

    /// A request that was rolled back has not used its key up.
    async fn a_key_of_a_failed_request_is_free(db: TestDatabase) {
        let store = db.store();
        let failed = store.write(|conn| {
            assert!(idempotency::insert(conn, &record("k", "ord_1"), now())?);
            Err::<(), _>(StoreError::Busy)
        });
        assert!(failed.await.is_err());
        assert!(store.write(|conn| idempotency::insert(conn, &record("k", "ord_2"), now())).await.unwrap());
    }
}
