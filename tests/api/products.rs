//! The carrier's catalogue.

use std::collections::BTreeSet;

use simdepot_tests::TestApp;
use simdepot_tests::app::{text, unique};

use crate::checked::assert_body;
use crate::{OTHER_PRODUCT, PRODUCT, fields_of, keys};

async fn products(app: &TestApp, query: &str) -> BTreeSet<String> {
    let page = app.get(&format!("/v1/products?limit=200&{query}")).send().await.expect_status(200).json();
    let rows = page["data"].as_array().unwrap();
    rows.iter().for_each(keys::product);
    rows.iter().map(|row| text(row, "/product")).collect()
}

#[tokio::test]
async fn products_by_country_and_pool() {
    let app = TestApp::start().await;
    let everything = products(&app, "").await;
    assert!(everything.contains(PRODUCT) && everything.contains(OTHER_PRODUCT), "{everything:?}");
    let france = products(&app, "country=FR").await;
    assert!(france.contains(PRODUCT) && france.contains(OTHER_PRODUCT), "Europe covers France");
    assert!(france.len() < everything.len() && france.is_subset(&everything));
    assert_eq!(products(&app, "country=fr").await, france);
    let germany = products(&app, "country=DE").await;
    assert!(germany.contains(PRODUCT) && !germany.contains(OTHER_PRODUCT));
    assert!(products(&app, "country=AQ").await.is_empty());
    let of_pool = products(&app, &format!("country=FR&pool={}", app.pool)).await;
    assert!(of_pool.is_subset(&france) && of_pool.contains(PRODUCT));
    app.get(&format!("/v1/products?pool={}", unique("none"))).send().await.expect_problem(404, "not-found");
    for (query, pointer) in [
        ("country=FRA", "?country"),
        ("country=", "?country"),
        ("land=FR", "?land"),
        ("limit=0", "?limit"),
        ("cursor=x", "?cursor"),
    ] {
        let problem =
            app.get(&format!("/v1/products?{query}")).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem)[0].0, pointer);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_product_says_what_it_is() {
    let app = TestApp::start().await;
    let query = format!("/v1/products?limit=200&country=JP&pool={}", app.pool);
    let page = app.get(&query).send().await.expect_status(200).json();
    assert_body!(&app, "products_of_japan", &page);
    app.finish().await;
}

#[tokio::test]
async fn pages_join_to_the_whole_catalogue() {
    let app = TestApp::start().await;
    let whole = products(&app, "").await;
    let mut seen = Vec::new();
    let mut path = "/v1/products?limit=3".to_owned();
    loop {
        let page = app.get(&path).send().await.expect_status(200).json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|row| text(row, "/product")));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/products?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), whole.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), whole);
    app.finish().await;
}
