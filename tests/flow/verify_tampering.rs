//! What somebody with the database alone, or a bug, could do: `simdepot verify` must name it, whichever side it is on.

use std::time::Duration;

use chrono::TimeDelta;
use simdepot_application::api_keys::{self, NewApiKey};
use simdepot_application::holds::{self, NewHold};
use simdepot_application::profiles::{self, EditProfile};
use simdepot_application::webhooks::endpoints;
use simdepot_application::{imports, pools, reconciliation};
use simdepot_domain::channel::{PoolName, Scope};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::pool::PoolSettings;
use simdepot_persistence::Backend;
use simdepot_tests::depot::{pool_settings, stock_keeper, storefront};
use simdepot_tests::{TestDatabase, TestDepot, on_both_databases};

use crate::verify::with_history;
use crate::webhooks::endpoint;

/// Some of everything; nothing of it differs. The profiles: two sold at once, one sold with a product, one held, one
/// edited, one that nothing happened to.
async fn whole(db: TestDatabase) -> (TestDepot, Vec<String>) {
    let (test, iccids) = with_history(db).await;
    let keeper = stock_keeper("default");
    let other = PoolSettings { pool: PoolName::parse("other").unwrap(), ..pool_settings() };
    pools::create(&test.depot, &keeper, other.clone(), None).await.unwrap();
    let hold = NewHold { pool: pool_settings().pool, quantity: 1, ttl_seconds: 600 };
    holds::create(&test.depot, &storefront("default"), hold, None).await.unwrap();
    let iccid = Iccid::parse(&iccids[4]).unwrap();
    for days in [10, 20] {
        let edit = EditProfile {
            pool: Some(other.pool.clone()),
            sell_by: Some(test.depot.now() + TimeDelta::days(days)),
            ..EditProfile::default()
        };
        profiles::edit(&test.depot, iccid.clone(), edit).await.unwrap();
    }
    let new = NewApiKey {
        name: "shop".to_owned(),
        channel: keeper.channel.clone(),
        scopes: vec![Scope::Storefront],
        expires_at: None,
        test: false,
    };
    let (key, _) = api_keys::create(&test.depot, &keeper, new.clone(), None).await.unwrap();
    api_keys::create(&test.depot, &keeper, new, None).await.unwrap();
    api_keys::revoke(&test.depot, key.key.id).await.unwrap();
    endpoint(&test.depot, None).await;
    let removed = endpoint(&test.depot, Some(&["order.*"])).await.endpoint.id;
    endpoints::delete(&test.depot, &storefront("default"), removed).await.unwrap();
    let (view, _) = test.import("ICCID;ActivationCode\n", test.import_of()).await.unwrap();
    assert_eq!(view.import.counts.accepted, 0);
    let later = test.deliver(2).await;
    assert_eq!(later.len(), 2);
    let batch = imports::list(&test.depot, None, None, 1).await.unwrap().remove(0);
    imports::undo(&test.depot, &keeper, batch.import.id, None).await.unwrap();
    test.number_all_events().await;
    test.assert_verified().await;
    (test, iccids)
}

/// Breaks something, and looks that each of these is among the findings.
async fn found(test: &TestDepot, sql: &str, expected: &[&str]) {
    test.db.raw().execute(sql);
    let findings = test.findings().await;
    for what in expected {
        assert!(findings.iter().any(|finding| finding.contains(what)), "{sql}: {what}: {findings:#?}");
    }
}

fn day_later(db: &TestDatabase, column: &str) -> String {
    match db.backend() {
        Backend::Postgres => format!("{column} + INTERVAL '1 day'"),
        Backend::Sqlite => format!("{column} + 86400000000"),
    }
}

fn zeros(db: &TestDatabase, bytes: usize) -> String {
    match db.backend() {
        Backend::Postgres => format!("decode(repeat('00', {bytes}), 'hex')"),
        Backend::Sqlite => format!("zeroblob({bytes})"),
    }
}

/// A UUID that nothing has.
fn fresh_id(db: &TestDatabase) -> &'static str {
    match db.backend() {
        Backend::Postgres => "'01a200b3-640d-7000-8000-000000000001'",
        Backend::Sqlite => "x'01a200b3640d70008000000000000001'",
    }
}

const SOLD: &str = "SELECT id FROM profiles WHERE stock_status = 'allocated'";

on_both_databases! {
    async fn orders_that_were_wiped_out_are_found(db: TestDatabase) {
        let (test, iccids) = Box::pin(whole(db)).await;
        found(
            &test,
            &format!(
                "DELETE FROM operations; DELETE FROM allocations; DELETE FROM order_lines; DELETE FROM bundles; \
                 DELETE FROM orders; DELETE FROM profile_secrets WHERE profile_id IN ({SOLD}); \
                 DELETE FROM profiles WHERE stock_status = 'allocated'; UPDATE imports SET status = 'undone' \
                 WHERE status = 'completed'"
            ),
            &[
                &format!("profile {} is gone, but", iccids[0]),
                &format!("profile {} is gone, but", iccids[2]),
                "order ord_",
                "bundle bdl_",
                "operation op_",
                "is undone but no event says that it was taken back",
            ],
        )
        .await;
        test.finish_broken();
    }

    async fn a_stolen_stock_is_found(db: TestDatabase) {
        let (test, _) = Box::pin(whole(db)).await;
        let unsold = "SELECT id FROM profiles WHERE stock_status = 'available' AND pool_id = \
                      (SELECT id FROM pools WHERE pool = 'world')";
        found(
            &test,
            &format!(
                "DELETE FROM profile_secrets WHERE profile_id IN ({unsold}); DELETE FROM profiles WHERE id IN ({unsold}); \
                 UPDATE imports SET status = 'undone' WHERE status = 'completed'"
            ),
            &["is undone but no event says that it was taken back", "has 5 available and 0 quarantined profiles"],
        )
        .await;
        found(
            &test,
            "UPDATE imports SET status = 'failed'",
            &["is failed but its events say that it became stock", "but its events say that it was taken back"],
        )
        .await;
        found(
            &test,
            "UPDATE imports SET status = 'completed', dry_run = TRUE",
            &["is a dry run but its events say that it became stock"],
        )
        .await;
        found(&test, "DELETE FROM profile_secrets; DELETE FROM operations; DELETE FROM allocations; \
                      DELETE FROM bundles; DELETE FROM drifts; DELETE FROM profiles; DELETE FROM imports",
            &["import imp_", "is gone, but 2 events tell of it", "is gone, but 1 events tell of it"])
        .await;
        test.finish_broken();
    }

    async fn a_forgotten_reveal_is_found(db: TestDatabase) {
        let (test, iccids) = Box::pin(whole(db)).await;
        let never = format!("profile {} was never revealed by its row, but its events say that it was", iccids[0]);
        found(&test, "UPDATE profiles SET revealed_at = NULL", &[&never]).await;
        let before = format!("profile {} was before revealed by its row", iccids[5]);
        let set = format!("UPDATE profiles SET revealed_at = created_at WHERE iccid = '{}'", iccids[5]);
        found(&test, &set, &[&before]).await;
        test.finish_broken();
    }

    async fn a_stock_in_another_pool_is_found(db: TestDatabase) {
        let (test, iccids) = Box::pin(whole(db)).await;
        found(
            &test,
            "UPDATE profiles SET pool_id = (SELECT id FROM pools WHERE pool = 'other') WHERE stock_status = 'available'",
            &[&format!("profile {} is in other but its events say world", iccids[5])],
        )
        .await;
        found(
            &test,
            "UPDATE profiles SET pool_id = (SELECT id FROM pools WHERE pool = 'world')",
            &[&format!("profile {} is in world but its events say other", iccids[4])],
        )
        .await;
        found(
            &test,
            "UPDATE imports SET pool_id = (SELECT id FROM pools WHERE pool = 'other')",
            &["has another pool, file or counts than its events say"],
        )
        .await;
        found(
            &test,
            "UPDATE pools SET carrier_account = 'mine' WHERE pool = 'other'",
            &["pool other is of another carrier account than its events say"],
        )
        .await;
        found(&test, "UPDATE pools SET pool = 'mine' WHERE pool = 'other'", &["pool other is gone, but 1 events"])
            .await;
        test.finish_broken();
    }

    async fn another_last_moment_of_sale_is_found(db: TestDatabase) {
        let (test, iccids) = Box::pin(whole(db)).await;
        let later = day_later(&test.db, "sell_by");
        found(
            &test,
            &format!("UPDATE profiles SET sell_by = {later} WHERE iccid = '{}'", iccids[4]),
            &[&format!("profile {} is sold until another moment than its events say", iccids[4])],
        )
        .await;
        // Nothing but its delivery tells of this one.
        found(
            &test,
            &format!("UPDATE profiles SET sell_by = {later} WHERE iccid = '{}'", iccids[5]),
            &["were to be sold until other moments than its event says"],
        )
        .await;
        test.finish_broken();
    }

    async fn an_order_of_another_channel_is_found(db: TestDatabase) {
        let (test, iccids) = Box::pin(whole(db)).await;
        let differs = "has another channel, reference or quantity than its events say";
        found(
            &test,
            "UPDATE orders SET accepted_at = created_at WHERE reference = 'plain'",
            &["was accepted by a person, or not, other than its events say"],
        )
        .await;
        found(&test, "UPDATE orders SET channel = 'mine' WHERE reference = 'plain'", &[differs]).await;
        found(
            &test,
            "UPDATE orders SET channel = 'default', reference = 'mine' WHERE reference = 'plain'",
            &[differs],
        )
        .await;
        found(&test, "UPDATE orders SET reference = 'plain' WHERE reference = 'mine'; \
                      UPDATE order_lines SET quantity = quantity + 1", &[differs])
        .await;
        // A profile that another order was given.
        found(
            &test,
            &format!(
                "UPDATE allocations SET order_id = (SELECT id FROM orders WHERE reference = 'with product') \
                 WHERE profile_id = (SELECT id FROM profiles WHERE iccid = '{}')",
                iccids[0]
            ),
            &[&format!("profile {} belongs to ord_", iccids[0])],
        )
        .await;
        found(
            &test,
            "UPDATE holds SET channel = 'mine'",
            &["is of another channel or pool than its events say"],
        )
        .await;
        test.finish_broken();
    }

    async fn a_key_that_nobody_made_is_found(db: TestDatabase) {
        let (test, _) = Box::pin(whole(db)).await;
        found(
            &test,
            "UPDATE api_keys SET revoked_at = NULL WHERE revoked_at IS NOT NULL",
            &["works, but its events say that it was revoked"],
        )
        .await;
        found(
            &test,
            "UPDATE api_keys SET scopes = '[\"storefront\",\"secrets\",\"admin\"]'",
            &["has another channel, scopes or end than its events say"],
        )
        .await;
        found(
            &test,
            "UPDATE api_keys SET scopes = '[\"storefront\"]', hash = substr(hash, 1, 31) WHERE version = 1",
            &["is another key than its events say"],
        )
        .await;
        let (id, hash) = (fresh_id(&test.db), zeros(&test.db, 32));
        found(
            &test,
            &format!(
                "INSERT INTO api_keys (id, name, channel, scopes, hash, hint, version, created_at) \
                 SELECT {id}, 'mine', 'default', '[\"storefront\",\"admin\"]', {hash}, 'sd_live_mine', 1, created_at \
                 FROM pools WHERE pool = 'world'"
            ),
            &["is at version 1 but has 0 events"],
        )
        .await;
        found(&test, "DELETE FROM api_keys", &["api key key_", "is gone, but 2 events tell of it"]).await;
        test.finish_broken();
    }

    async fn a_webhook_to_somewhere_else_is_found(db: TestDatabase) {
        let (test, _) = Box::pin(whole(db)).await;
        let differs = "has another channel, address or types than its events say";
        found(&test, "UPDATE webhook_endpoints SET url = 'https://mine.example.com/'", &[differs]).await;
        found(&test, "UPDATE webhook_endpoints SET status = 'disabled', url = 'https://shop.example.com/hook'",
            &["is disabled but its events say enabled"])
        .await;
        let secret = zeros(&test.db, 60);
        found(
            &test,
            &format!("UPDATE webhook_endpoints SET status = 'enabled', secret = {secret}"),
            &["has a sealed secret that does not open"],
        )
        .await;
        found(&test, "DELETE FROM webhook_endpoints", &["webhook endpoint whe_"]).await;
        test.finish_broken();
    }

    async fn another_status_of_a_bundle_or_an_operation_is_found(db: TestDatabase) {
        let (test, _) = Box::pin(whole(db)).await;
        found(
            &test,
            "UPDATE bundles SET status = 'terminated'",
            &["is terminated but its events say"],
        )
        .await;
        found(&test, "UPDATE bundles SET product = 'MINE'", &["has another profile, product, order"]).await;
        found(
            &test,
            "UPDATE operations SET status = 'pending'",
            &["is pending but its events say done"],
        )
        .await;
        found(
            &test,
            "UPDATE operations SET profile_id = (SELECT MIN(id) FROM profiles)",
            &["is on another profile than its events say"],
        )
        .await;
        test.finish_broken();
    }

    async fn a_code_that_does_not_open_is_found(db: TestDatabase) {
        let (test, iccids) = Box::pin(whole(db)).await;
        let row = |iccid: &str| format!("profile_id = (SELECT id FROM profiles WHERE iccid = '{iccid}')");
        let code = zeros(&test.db, 60);
        found(
            &test,
            &format!("UPDATE profile_secrets SET activation_code = {code} WHERE {}", row(&iccids[5])),
            &[&format!("profile {} has a sealed secret that is not its own: its activation code", iccids[5])],
        )
        .await;
        found(
            &test,
            &format!("UPDATE profile_secrets SET code_index = {code} WHERE {}", row(&iccids[4])),
            &[&format!("profile {} has a sealed secret that is not its own: its activation code is not", iccids[4])],
        )
        .await;
        found(
            &test,
            &format!("UPDATE profile_secrets SET pin = {code} WHERE {}", row(&iccids[3])),
            &[&format!("profile {} has a sealed secret that is not its own: its PIN", iccids[3])],
        )
        .await;
        // Of a sold one, which nobody sells any more.
        found(
            &test,
            &format!("DELETE FROM profile_secrets WHERE {}", row(&iccids[0])),
            &[&format!("profile {} has lost its activation code", iccids[0])],
        )
        .await;
        test.finish_broken();
    }

    /// Every kind of change at once, while verify looks again and again: none of it is a finding.
    async fn nothing_that_a_server_does_is_a_finding(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(60).await;
        let (depot, keeper) = (test.depot.clone(), stock_keeper("default"));
        let other = PoolSettings { pool: PoolName::parse("other").unwrap(), ..pool_settings() };
        pools::create(&depot, &keeper, other.clone(), None).await.unwrap();
        let worker = test.worker();
        let orders = async {
            for number in 0..12 {
                test.order_with_product(&format!("ref-{number}"), 1).await.unwrap();
                test.order(&format!("plain-{number}"), 1).await.unwrap();
            }
        };
        let stock = async {
            for number in 0..12 {
                test.deliver(20).await;
                let batch = imports::list(&depot, None, None, 1).await.unwrap().remove(0);
                imports::undo(&depot, &keeper, batch.import.id, None).await.unwrap();
                let hold = NewHold { pool: pool_settings().pool, quantity: 1, ttl_seconds: 600 };
                let (held, _) = holds::create(&depot, &storefront("default"), hold, None).await.unwrap();
                holds::release(&depot, &storefront("default"), held.hold.id).await.unwrap();
                if number == 3 {
                    reconciliation::start(&depot, &keeper, None, None).await.unwrap();
                }
            }
        };
        let keys = async {
            for _ in 0..12 {
                let new = NewApiKey {
                    name: "shop".to_owned(),
                    channel: keeper.channel.clone(),
                    scopes: vec![Scope::Storefront],
                    expires_at: None,
                    test: false,
                };
                let (key, _) = api_keys::create(&depot, &keeper, new, None).await.unwrap();
                api_keys::revoke(&depot, key.key.id).await.unwrap();
                let made = endpoint(&depot, None).await.endpoint.id;
                endpoints::delete(&depot, &storefront("default"), made).await.unwrap();
            }
        };
        let mut changes = Box::pin(async { tokio::join!(orders, stock, keys) });
        let mut runs = 0;
        loop {
            let done = tokio::select! {
                biased;
                _ = &mut changes => true,
                () = test.assert_verified() => false,
            };
            runs += 1;
            if done {
                break;
            }
        }
        drop(changes);
        assert!(runs > 1);
        test.work_until_settled().await;
        drop(worker);
        tokio::time::timeout(Duration::from_secs(60), test.finish()).await.unwrap();
    }
}
