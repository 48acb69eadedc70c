//! `simdepot verify`: quiet beside a live server, loud about anything that the ledger does not tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use simdepot_application::orders;
use simdepot_persistence::Backend;
use simdepot_tests::depot::{order_of, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

/// A depot with some history.
pub(crate) async fn with_history(db: simdepot_tests::TestDatabase) -> (TestDepot, Vec<String>) {
    let test = TestDepot::start(db).await;
    let lines = test.deliver(6).await;
    test.order("plain", 2).await.unwrap();
    test.order_with_product("with product", 1).await.unwrap();
    test.work_until_idle().await;
    test.number_all_events().await;
    test.assert_verified().await;
    (test, lines.into_iter().map(|line| line.iccid.to_string()).collect())
}

/// As a database administrator could.
pub(crate) fn without_triggers(test: &TestDepot, sql: &str) {
    let mut raw = test.db.raw();
    raw.execute(match test.db.backend() {
        Backend::Postgres => "DROP TRIGGER events_append_only ON events",
        Backend::Sqlite => {
            "DROP TRIGGER events_not_deleted; DROP TRIGGER events_not_updated; PRAGMA foreign_keys = OFF"
        }
    });
    raw.execute(sql);
}

pub(crate) async fn assert_found(test: TestDepot, what: &str) {
    let findings = test.findings().await;
    assert!(findings.iter().any(|finding| finding.contains(what)), "{what}: {findings:#?}");
    test.finish_broken();
}

on_both_databases! {
    async fn a_tampered_status_is_found(db: TestDatabase) {
        let (test, iccids) = with_history(db).await;
        test.db
            .raw()
            .execute(&format!("UPDATE profiles SET stock_status = 'retired' WHERE iccid = '{}'", iccids[5]));
        assert_found(test, &format!("profile {} is retired but its events say available", iccids[5])).await;
    }

    async fn a_sold_profile_put_back_is_found(db: TestDatabase) {
        let (test, iccids) = with_history(db).await;
        test.db.raw().execute(&format!(
            "UPDATE profiles SET stock_status = 'available' WHERE iccid = '{}'",
            iccids[0]
        ));
        let findings = test.findings().await;
        assert!(findings.iter().any(|finding| finding.contains(&iccids[0])), "{findings:#?}");
        assert_found(test, "a live allocation holds an allocated profile").await;
    }

    async fn a_deleted_event_is_found(db: TestDatabase) {
        let (test, iccids) = with_history(db).await;
        without_triggers(
            &test,
            &format!("DELETE FROM events WHERE subject_id = '{}' AND version = 1", iccids[0]),
        );
        let findings = test.findings().await;
        assert!(findings.iter().any(|finding| finding.contains("without a gap")), "{findings:#?}");
        assert_found(test, &format!("profile {} is at version", iccids[0])).await;
    }

    async fn a_last_event_that_was_deleted_is_found(db: TestDatabase) {
        let (test, iccids) = with_history(db).await;
        without_triggers(&test, &format!("DELETE FROM events WHERE subject_id = '{}'", iccids[0]));
        assert_found(test, &format!("profile {} is at version", iccids[0])).await;
    }

    async fn a_rewritten_event_is_found(db: TestDatabase) {
        let (test, _) = with_history(db).await;
        without_triggers(
            &test,
            "UPDATE events SET data = '{\"from\":\"in_progress\",\"to\":\"failed\"}' \
            WHERE subject_kind = 'order' AND type_name = 'order.status_changed'",
        );
        assert_found(test, "is fulfilled but its events say failed").await;
    }

    async fn a_changed_batch_is_found(db: TestDatabase) {
        let (test, iccids) = with_history(db).await;
        // A profile that was never touched, so that no event of its own speaks of it.
        test.db.raw().execute(&format!(
            "DELETE FROM profile_secrets WHERE profile_id = (SELECT id FROM profiles WHERE iccid = '{0}'); \
             DELETE FROM profiles WHERE iccid = '{0}'",
            iccids[5]
        ));
        assert_found(test, "import imp_").await;
    }

    async fn a_swapped_sim_is_found(db: TestDatabase) {
        let (test, iccids) = with_history(db).await;
        test.db.raw().execute(&format!(
            "UPDATE profiles SET iccid = '8988247999999999992', sim_key = '8988247999999999992' WHERE iccid = '{}'",
            iccids[5]
        ));
        assert_found(test, "names other SIMs").await;
    }

    async fn a_sold_code_that_is_gone_is_found_before_it_is_sold(db: TestDatabase) {
        let (test, iccids) = with_history(db).await;
        test.db.raw().execute(&format!(
            "DELETE FROM profile_secrets WHERE profile_id = (SELECT id FROM profiles WHERE iccid = '{}')",
            iccids[5]
        ));
        assert_found(test, "a profile on sale has its activation code").await;
    }

    async fn a_missing_allocation_is_found(db: TestDatabase) {
        let (test, _) = with_history(db).await;
        test.db.raw().execute("DELETE FROM allocations WHERE id = (SELECT MIN(id) FROM allocations)");
        let findings = test.findings().await;
        assert!(
            findings.iter().any(|finding| finding.contains("exactly one live allocation")),
            "{findings:#?}"
        );
        assert_found(test, "every place of an order has an allocation").await;
    }

    /// It runs beside a live server: what changes while it looks is no finding.
    async fn a_live_server_is_no_finding(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(150).await;
        let done = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let depot = test.depot.clone();
                tokio::spawn(async move {
                    for number in 0..25 {
                        let asked = order_of(&format!("ref-{client}-{number}"), 1, None);
                        orders::place(&depot, &storefront("default"), asked, None, Duration::ZERO)
                            .await
                            .unwrap();
                    }
                })
            })
            .collect();
        let flag = Arc::clone(&done);
        let watcher = tokio::spawn(async move {
            for client in clients {
                client.await.unwrap();
            }
            flag.store(true, Ordering::SeqCst);
        });
        let mut runs = 0;
        while !done.load(Ordering::SeqCst) {
            test.assert_verified().await;
            runs += 1;
        }
        watcher.await.unwrap();
        assert!(runs > 0);
        test.finish().await;
    }
}
