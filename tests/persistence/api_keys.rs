//! API keys, by their hash.

use simdepot_domain::channel::Scope;
use simdepot_domain::id::ApiKeyId;
use simdepot_persistence::api_keys::{self, ApiKey};
use simdepot_tests::on_both_databases;

use crate::support::{channel, days, is_race, now, uuid};

fn key(hash: u8) -> ApiKey {
    ApiKey {
        id: ApiKeyId(uuid()),
        name: "till".to_owned(),
        channel: channel("shop"),
        scopes: vec![Scope::Storefront, Scope::Lines],
        hash: vec![hash; 32],
        hint: "sd_live_abcd".to_owned(),
        version: 1,
        created_at: now(),
        expires_at: Some(now() + days(1)),
        last_used_at: None,
        revoked_at: None,
    }
}

on_both_databases! {
    async fn a_key_is_found_by_its_hash(db: TestDatabase) {
        let store = db.store();
        let (one, twin) = (key(1), key(1));
        let (written, id) = (one.clone(), one.id);
        assert!(store.write(move |conn| api_keys::insert(conn, &written)).await.unwrap());
        assert!(!store.write(move |conn| api_keys::insert(conn, &twin)).await.unwrap());
        let hashes: [&[u8]; 2] = [&[1; 32], &[2; 32]];
        let found = store.read(move |conn| api_keys::with_hashes(conn, &hashes)).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|(hash, key)| (hash, key.unwrap())).collect();
        assert_eq!(found, [(vec![1; 32], one.clone())]);
        assert_eq!(store.read(move |conn| api_keys::find(conn, id)).await.unwrap(), Some(one.clone()));
        assert!(one.is_live(now()) && !one.is_live(now() + days(1)));
    }

    async fn a_key_is_revoked_once(db: TestDatabase) {
        let store = db.store();
        let one = key(1);
        let (written, id) = (one.clone(), one.id);
        store.write(move |conn| api_keys::insert(conn, &written)).await.unwrap();
        let (first, second) = (one.clone(), one.clone());
        assert_eq!(store.write(move |conn| api_keys::revoke(conn, &first, now())).await.unwrap(), 2);
        assert!(is_race(&store.write(move |conn| api_keys::revoke(conn, &second, now())).await));
        let read = store.read(move |conn| api_keys::find(conn, id)).await.unwrap().unwrap();
        assert!(read.revoked_at.is_some() && !read.is_live(now()));
        // It is still found: the answer to a revoked key is the caller's to decide.
        assert!(is_race(&store.write(move |conn| api_keys::revoke(conn, &read, now())).await));
    }

    async fn keys_are_listed_newest_first_and_remember_their_use(db: TestDatabase) {
        let store = db.store();
        let mut ids = Vec::new();
        for number in 0..4 {
            let new = key(number);
            ids.insert(0, new.id);
            store.write(move |conn| api_keys::insert(conn, &new)).await.unwrap();
        }
        let moment = now();
        let used = vec![(ids[2], moment), (ApiKeyId(uuid()), moment)];
        store.write(move |conn| api_keys::touch(conn, &used)).await.unwrap();
        let before = ids[1];
        let page = store.read(move |conn| api_keys::list(conn, Some(before), 10)).await.unwrap();
        let seen: Vec<_> = page.iter().map(|key| (key.id, key.last_used_at)).collect();
        assert_eq!(seen, [(ids[2], Some(moment)), (ids[3], None)]);
        assert_eq!(page[0].version, 1, "use is a note, not an event");
        assert_eq!(store.read(|conn| api_keys::list(conn, None, 2)).await.unwrap().len(), 2);
    }
}
