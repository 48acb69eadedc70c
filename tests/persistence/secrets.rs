//! What lies at rest: sealed, found by a blind index, and bound to its place.

use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::secret::Secret;
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::secrets::{self, Sealed};
use simdepot_persistence::vault::DataKey;
use simdepot_persistence::{Store, StoreError};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, is_unique};

const MATCHING_ID: &str = "QX7-SESAME-0042";
const PIN: &str = "48151623";
const PUK: &str = "42108642";

fn code(matching_id: &str) -> ActivationCode {
    ActivationCode::parse(&format!("1$Smdp.Example.com${matching_id}")).unwrap()
}

async fn data_key(store: &Store) -> DataKey {
    let keys = store.clone();
    store.write(move |conn| keys.vault().new_data_key(conn)).await.unwrap()
}

async fn store_secrets(
    store: &Store,
    key: &DataKey,
    profile: &Profile,
    code: Option<&ActivationCode>,
) -> Result<(), StoreError> {
    let (pin, puk) = (Secret::new(PIN), Secret::new(PUK));
    let sealed = Sealed::seal(store.vault(), key, &profile.iccid, code, Some(&pin), Some(&puk)).unwrap();
    let printed = format!("{sealed:?} {key:?}");
    assert!(!printed.contains(MATCHING_ID) && !printed.contains(PIN), "{printed}");
    let (key, id) = (key.clone(), profile.id);
    store.write(move |conn| secrets::insert_many(conn, &key, &[(id, &sealed)])).await
}

async fn opened(store: &Store, profile: &Profile) -> Result<Option<ActivationCode>, StoreError> {
    let (keys, profile) = (store.clone(), profile.clone());
    store.read(move |conn| secrets::activation_code(conn, keys.vault(), &profile)).await
}

fn contains(bytes: &[u8], text: &str) -> bool {
    let folded: Vec<u8> = bytes.to_ascii_lowercase();
    let wanted = text.to_ascii_lowercase();
    folded.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

on_both_databases! {
    async fn codes_come_back_as_delivered_and_lie_sealed(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 2).await;
        let key = data_key(&stock.store).await;
        store_secrets(&stock.store, &key, &profiles[0], Some(&code(MATCHING_ID))).await.unwrap();
        store_secrets(&stock.store, &key, &profiles[1], None).await.unwrap();
        // As delivered, its capitals included.
        let back = opened(&stock.store, &profiles[0]).await.unwrap().unwrap();
        assert_eq!(back.code(), format!("1$Smdp.Example.com${MATCHING_ID}"));
        assert_eq!(opened(&stock.store, &profiles[1]).await.unwrap(), None);
        // Another process opens them with the wrapped data key of the database.
        let fresh = stock.db.store();
        assert_eq!(opened(&fresh, &profiles[0]).await.unwrap(), Some(code(MATCHING_ID)));

        let at_rest = stock.db.bytes_at_rest();
        assert!(contains(&at_rest, profiles[0].iccid.as_str()), "the check reads the database");
        for secret in [MATCHING_ID, "Smdp.Example.com", PIN, PUK] {
            assert!(!contains(&at_rest, secret), "{secret} lies in clear");
        }
    }

    async fn a_code_is_in_the_stock_once_however_it_is_written(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 3).await;
        let (first, second) = (data_key(&stock.store).await, data_key(&stock.store).await);
        store_secrets(&stock.store, &first, &profiles[0], Some(&code(MATCHING_ID))).await.unwrap();
        // The host without regard to case, and under another batch's key.
        let same = ActivationCode::parse(&format!("LPA:1$SMDP.EXAMPLE.COM${MATCHING_ID}")).unwrap();
        let index = |code: &ActivationCode| stock.store.vault().blind_index(&code.index_input().unwrap());
        assert_eq!(index(&same), index(&code(MATCHING_ID)));
        assert!(is_unique(&store_secrets(&stock.store, &second, &profiles[1], Some(&same)).await));
        // A matching id is compared as it is.
        let other = code(&MATCHING_ID.replace("SESAME", "Sesame"));
        store_secrets(&stock.store, &second, &profiles[2], Some(&other)).await.unwrap();
    }

    async fn a_missing_code_is_added_once(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 2).await;
        let key = data_key(&stock.store).await;
        for profile in &profiles {
            store_secrets(&stock.store, &key, profile, None).await.unwrap();
        }
        let add = |profile: &Profile, code: ActivationCode| {
            let (keys, profile, store) = (stock.store.clone(), profile.clone(), stock.store.clone());
            async move { store.write(move |conn| secrets::add_code(conn, keys.vault(), &profile, &code)).await }
        };
        add(&profiles[0], code(MATCHING_ID)).await.unwrap();
        assert_eq!(opened(&stock.store, &profiles[0]).await.unwrap(), Some(code(MATCHING_ID)));
        // What is there is not overwritten, and what another one holds is refused.
        let again = add(&profiles[0], code("OTHER")).await;
        assert!(matches!(again, Err(StoreError::RowsAffected { .. })), "{again:?}");
        assert!(is_unique(&add(&profiles[1], code(MATCHING_ID)).await));
        assert_eq!(opened(&stock.store, &profiles[0]).await.unwrap(), Some(code(MATCHING_ID)));
        assert!(!contains(&stock.db.bytes_at_rest(), MATCHING_ID));
    }

    /// A sealed code belongs to its profile: moved to another row it does not open.
    async fn a_code_moved_to_another_row_does_not_open(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 2).await;
        let key = data_key(&stock.store).await;
        store_secrets(&stock.store, &key, &profiles[0], Some(&code(MATCHING_ID))).await.unwrap();
        store_secrets(&stock.store, &key, &profiles[1], None).await.unwrap();
        stock.db.raw().execute(&format!(
            "UPDATE profile_secrets SET activation_code = \
             (SELECT s.activation_code FROM profile_secrets s WHERE s.profile_id = {}) WHERE profile_id = {}",
            profiles[0].id, profiles[1].id
        ));
        let refused = opened(&stock.store, &profiles[1]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Vault(_)), "{refused}");
        assert!(opened(&stock.store, &profiles[0]).await.unwrap().is_some());
    }
}
