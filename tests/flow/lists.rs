//! Lists that take several statements, while what they list moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use simdepot_application::groups::{self, Group};
use simdepot_application::operations;
use simdepot_application::orders::{self, ListOrders};
use simdepot_application::profiles::{self, SearchProfiles};
use simdepot_domain::operation::OperationStatus;
use simdepot_tests::database::RawConnection;
use simdepot_tests::depot::{pool_settings, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

/// How often a list is asked for.
const TIMES: usize = 60;

/// Moves rows there and back, on a thread, until it is dropped. They end where they began.
struct Mover {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    fn start(mut raw: RawConnection, there: &'static str, back: &'static str) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            while !asked.load(Ordering::Relaxed) {
                raw.execute(there);
                raw.execute(back);
            }
        });
        Self { done, thread: Some(thread) }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

on_both_databases! {
    async fn an_order_that_moves_is_listed_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(20).await;
        let mut expected = Vec::new();
        for n in 0..20 {
            expected.push(test.order(&format!("ref-{n}"), 1).await.unwrap().order.order.id);
        }
        expected.reverse();
        let caller = storefront("default");
        let mover = Mover::start(
            test.db.raw(),
            "UPDATE orders SET status = 'cancelled'",
            "UPDATE orders SET status = 'fulfilled'",
        );
        for _ in 0..TIMES {
            let found = orders::list(&test.depot, &caller, ListOrders::default(), 20).await.unwrap();
            let found: Vec<_> = found.iter().map(|order| order.order.id).collect();
            assert_eq!(found, expected);
        }
        drop(mover);
        test.finish().await;
    }

    async fn a_profile_that_moves_is_found_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let expected: Vec<_> = test.deliver(20).await.into_iter().map(|line| line.iccid).collect();
        let mover = Mover::start(
            test.db.raw(),
            "UPDATE profiles SET stock_status = 'retired'",
            "UPDATE profiles SET stock_status = 'available'",
        );
        for _ in 0..TIMES {
            let asked = SearchProfiles { pool: Some(pool_settings().pool), ..SearchProfiles::default() };
            let found = profiles::search(&test.depot, asked, 20).await.unwrap();
            let found: Vec<_> = found.profiles.iter().map(|found| found.profile.iccid.clone()).collect();
            assert_eq!(found, expected);
        }
        drop(mover);
        test.finish().await;
    }

    async fn operations_that_move_are_listed_as_they_were_found(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(10).await;
        test.order_with_product("ref", 10).await.unwrap();
        let caller = storefront("default");
        let mover = Mover::start(
            test.db.raw(),
            "UPDATE operations SET status = 'cancelled'",
            "UPDATE operations SET status = 'pending'",
        );
        for _ in 0..TIMES {
            let pending = Some(OperationStatus::Pending);
            let listed = operations::list(&test.depot, &caller, pending, None, 20).await.unwrap();
            let statuses: Vec<_> = listed.operations.iter().map(|one| one.operation.status).collect();
            assert!(statuses.is_empty() || statuses == [OperationStatus::Pending; 10], "{statuses:?}");
        }
        drop(mover);
        test.work_until_settled().await;
        test.finish().await;
    }

    async fn a_line_that_moves_is_in_one_group(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(20).await;
        test.db.raw().execute(
            "INSERT INTO lines (profile_id, line_group, source, observed_at) SELECT id, 'b', 'read', created_at FROM profiles",
        );
        let mover = Mover::start(
            test.db.raw(),
            "UPDATE lines SET line_group = NULL WHERE line_group = 'b'",
            "UPDATE lines SET line_group = 'b'",
        );
        for _ in 0..TIMES {
            let found = groups::list(&test.depot, None, None, 20).await.unwrap();
            assert_eq!(found.iter().map(Group::lines).sum::<u64>(), 20, "{found:?}");
        }
        drop(mover);
        test.finish().await;
    }
}
