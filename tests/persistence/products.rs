//! The cached catalogues.

use simdepot_domain::channel::AccountName;
use simdepot_domain::product::Product;
use simdepot_persistence::{StoreError, products};
use simdepot_tests::on_both_databases;

use crate::support::{account, days, now};

fn product(id: &str) -> Product {
    serde_json::from_value(serde_json::json!({
        "product": id, "name": format!("{id} é"), "category": "one_off", "countries": ["FR", "AL"],
        "data_bytes": 1_073_741_824u64, "unlimited": false, "validity": null, "price": null, "available": true
    }))
    .unwrap()
}

on_both_databases! {
    async fn a_catalogue_is_replaced_whole(db: TestDatabase) {
        let store = db.store();
        let moment = now();
        let other = AccountName::parse("other").unwrap();
        let elsewhere = other.clone();
        assert_eq!(store.read(|conn| products::fetched_at(conn, &account())).await.unwrap(), None);
        store
            .write(move |conn| {
                products::replace(conn, &account(), &[product("b"), product("a"), product("b")], moment)?;
                products::replace(conn, &elsewhere, &[product("a")], moment)
            })
            .await
            .unwrap();
        let listed = store.read(|conn| products::list(conn, &account())).await.unwrap();
        let ids: Vec<_> = listed.iter().map(|cached| cached.product.product.as_str()).collect();
        assert_eq!((ids, listed[0].fetched_at), (vec!["a", "b"], moment));
        assert_eq!(listed[0].product, product("a"));
        let later = moment + days(1);
        store.write(move |conn| products::replace(conn, &account(), &[product("c")], later)).await.unwrap();
        let (gone, there, fetched_at, others) = store
            .read(move |conn| {
                Ok::<_, StoreError>((
                    products::find(conn, &account(), "a")?,
                    products::find(conn, &account(), "c")?,
                    products::fetched_at(conn, &account())?,
                    products::list(conn, &other)?.len(),
                ))
            })
            .await
            .unwrap();
        assert_eq!((gone, there.map(|cached| cached.product)), (None, Some(product("c"))));
        assert_eq!((fetched_at, others), (Some(later), 1));
    }

    async fn a_catalogue_may_be_empty_or_large(db: TestDatabase) {
        let store = db.store();
        let many: Vec<Product> = (0..1_300).map(|number| product(&format!("p{number:04}"))).collect();
        store.write(move |conn| products::replace(conn, &account(), &many, now())).await.unwrap();
        assert_eq!(store.read(|conn| products::list(conn, &account())).await.unwrap().len(), 1_300);
        store.write(|conn| products::replace(conn, &account(), &[], now())).await.unwrap();
        assert_eq!(store.read(|conn| products::list(conn, &account())).await.unwrap(), vec![]);
        assert!(store.read(|conn| products::fetched_at(conn, &account())).await.unwrap().is_some());
    }
}
