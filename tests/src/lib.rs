//! The harness of the suites: databases, a clock that can be set, and a depot beside a carrier twin.
//!
//! A suite is one binary under `tests/<suite>/main.rs`; it takes a [`database::TestDatabase`] through
//! [`on_both_databases!`], so that each of its tests runs on SQLite and on PostgreSQL:
//!
//! ```ignore
//! on_both_databases! {
//!     async fn an_order_is_taken(db: TestDatabase) {
//!         let depot = TestDepot::start(db).await;
//!         depot.deliver(2).await;
//!         depot.order("ref-1", 2).await.unwrap();
//!         depot.finish().await;
//!     }
//! }
//! ```
#![expect(clippy::expect_used, clippy::panic, reason = "a test harness fails loudly")]

pub mod app;
pub mod carrier;
pub mod clock;
pub mod database;
pub mod depot;
pub mod devices;
pub mod fill;
pub mod lines;
pub mod memory;
pub mod settle;
pub mod subscriptions;
pub mod webhooks;

pub use app::TestApp;
pub use carrier::TestCarrier;
pub use clock::TestClock;
pub use database::TestDatabase;
pub use depot::TestDepot;

/// Makes two tests of each function: `<name>::sqlite` and `<name>::postgres`. The second is left out, with one loud
/// line, when there is no PostgreSQL (see [`database::TestDatabase::postgres`]).
#[macro_export]
macro_rules! on_both_databases {
    ($($(#[doc = $doc:expr])* async fn $name:ident($db:ident: TestDatabase) $body:block)+) => {$(
        $(#[doc = $doc])*
        async fn $name($db: $crate::TestDatabase) $body

        mod $name {
            #[::tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn sqlite() {
                Box::pin(super::$name($crate::TestDatabase::sqlite())).await;
            }

            #[::tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn postgres() {
                if let Some(db) = $crate::TestDatabase::postgres() {
                    Box::pin(super::$name(db)).await;
                }
            }
        }
    )+};
}

/// Makes one test per function, on PostgreSQL alone: for what SQLite's single writer cannot show.
#[macro_export]
macro_rules! on_postgres {
    ($($(#[doc = $doc:expr])* async fn $name:ident($db:ident: TestDatabase) $body:block)+) => {$(
        $(#[doc = $doc])*
        #[::tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            async fn body($db: $crate::TestDatabase) $body
            if let Some(db) = $crate::TestDatabase::postgres() {
                Box::pin(body(db)).await;
            }
        }
    )+};
}

/// The carriers that have an adapter: what holds for all of them is tested against each. A new one is a line here.
#[macro_export]
macro_rules! carriers {
    ($run:ident, $test:ident) => {
        $crate::$run!(transatel, ::simdepot_carrier_twin::Twin, $test);
        $crate::$run!(wholesale, ::simdepot_carrier_twin::sps::SpsTwin, $test);
    };
}

/// Makes four tests of each function, which is generic over a [`TestCarrier`]: every carrier, on both databases.
#[macro_export]
macro_rules! for_every_carrier {
    ($($(#[doc = $doc:expr])* async fn $name:ident<$carrier:ident>($db:ident: TestDatabase) $body:block)+) => {$(
        $(#[doc = $doc])*
        async fn $name<$carrier: $crate::TestCarrier>($db: $crate::TestDatabase) $body

        mod $name {
            $crate::carriers!(with_carrier, $name);
        }
    )+};
}

/// One function of [`for_every_carrier!`] with one carrier.
#[macro_export]
macro_rules! with_carrier {
    ($label:ident, $carrier:ty, $test:ident) => {
        mod $label {
            $crate::on_both_databases! {
                async fn on(db: TestDatabase) {
                    super::super::$test::<$carrier>(db).await;
                }
            }
        }
    };
}

/// Makes a test of each function for every adapter, without a depot.
#[macro_export]
macro_rules! for_every_adapter {
    ($($(#[doc = $doc:expr])* async fn $name:ident<$carrier:ident>() $body:block)+) => {$(
        $(#[doc = $doc])*
        async fn $name<$carrier: $crate::TestCarrier>() $body

        mod $name {
            $crate::carriers!(with_adapter, $name);
        }
    )+};
}

/// One function of [`for_every_adapter!`] with one adapter.
#[macro_export]
macro_rules! with_adapter {
    ($label:ident, $carrier:ty, $test:ident) => {
        #[::tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $label() {
            Box::pin(super::$test::<$carrier>()).await;
        }
    };
}
