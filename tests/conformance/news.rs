//! What a carrier tells: kept once, weighed by its date, and never believed without a signature.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use simdepot_application::reconciliation;
use simdepot_carrier_twin::Webhook;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;
use simdepot_tests::depot::WEBHOOK_SECRET;
use simdepot_tests::{TestCarrier, TestDepot, for_every_carrier};

use crate::lines::{active, status};

/// In so many seconds.
fn at(seconds: i64) -> DateTime<Utc> {
    SystemClock.now() + TimeDelta::seconds(seconds)
}

fn kept<C: TestCarrier>(test: &TestDepot<C>) -> i64 {
    test.db.raw().number("SELECT COUNT(*) AS value FROM carrier_events")
}

for_every_carrier! {
    async fn older_news_change_nothing_and_newer_do<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let iccid = active(&test).await;
        let tell = async |status: SimStatus, seconds: i64| {
            let news = test.twin.twin().news(&iccid, status, at(seconds));
            test.hear(&[news]).await;
        };
        tell(SimStatus::Suspended, 30).await;
        let told = if C::EVENTS_PROVE { SimStatus::Suspended } else { SimStatus::Active };
        assert_eq!(status(&test, &iccid).await, Some(told));
        tell(SimStatus::Active, 20).await;
        assert_eq!(status(&test, &iccid).await, Some(told), "it is older");
        tell(SimStatus::Active, 40).await;
        assert_eq!(status(&test, &iccid).await, Some(SimStatus::Active));
        tell(SimStatus::Suspended, 35).await;
        assert_eq!(status(&test, &iccid).await, Some(SimStatus::Active), "it comes late");
        test.finish().await;
    }

    /// By the news itself where they prove it, else by the read that they are worth.
    async fn what_the_carrier_does_by_itself_is_known_soon<C>(db: TestDatabase) {
        let mut test = TestDepot::<C>::start_paced(db).await;
        active(&test).await;
        let iccid = active(&test).await;
        test.stock_up(3).await;
        test.twin.twin().stop(&iccid);
        let told = test.told().pop().unwrap();
        test.hear(&[told]).await;
        let proven = if C::EVENTS_PROVE { SimStatus::Suspended } else { SimStatus::Active };
        assert_eq!(status(&test, &iccid).await, Some(proven));
        test.pace(|pace| pace.sweep_every = TimeDelta::microseconds(1));
        // Of all profiles this one is compared first.
        let compared = reconciliation::sweep::step(&test.depot).await.unwrap();
        assert!(compared);
        assert_eq!(status(&test, &iccid).await, Some(SimStatus::Suspended));
        test.finish().await;
    }

    async fn copies_are_one<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let iccid = active(&test).await;
        let before = kept(&test);
        let news = test.twin.twin().news(&iccid, SimStatus::Suspended, at(30));
        let new = join_all((0..20).map(|_| test.bring(&news, WEBHOOK_SECRET))).await;
        assert_eq!(new.iter().filter(|new| **new == Some(true)).count(), 1, "{new:?}");
        assert!(new.iter().all(Option::is_some));
        test.hear(&[]).await;
        let moved = "SELECT COUNT(*) AS value FROM events WHERE type_name = 'profile.sim_status_seen'";
        let moves = test.db.raw().number(moved);
        test.hear(&[news.clone(), news]).await;
        assert_eq!((kept(&test), test.db.raw().number(moved)), (before + 1, moves));
        test.finish().await;
    }

    async fn nothing_is_believed_without_the_signature<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let iccid = active(&test).await;
        let (before, known) = (kept(&test), status(&test, &iccid).await);
        let news = test.twin.twin().news(&iccid, SimStatus::Suspended, at(30));
        assert_eq!(test.bring(&news, "guessed").await, None);
        let webhook = Webhook::new("http://nowhere", Secret::new(WEBHOOK_SECRET)).unwrap();
        let body = news.to_string().into_bytes();
        let good = webhook.signature(&body);
        let altered = [body.as_slice(), b" "].concat();
        assert_eq!(test.bring_signed(&altered, &good).await, None, "another body");
        for bad in ["", "sha256=", "sha256=00", &good[..good.len() - 2], &good.replace("sha256", "sha1")] {
            assert_eq!(test.bring_signed(&body, bad).await, None, "{bad}");
        }
        test.hear(&[]).await;
        assert_eq!((kept(&test), status(&test, &iccid).await), (before, known));
        assert_eq!(test.bring_signed(&body, &good).await, Some(true));
        test.finish().await;
    }

    /// Not JSON, JSON of another shape, an event that no document knows: kept sealed, and nobody waits for it.
    async fn what_cannot_be_understood_stops_nothing<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let iccid = active(&test).await;
        let webhook = Webhook::new("http://nowhere", Secret::new(WEBHOOK_SECRET)).unwrap();
        for body in ["", "{", "[]", "null", "7", "{}", r#"{"header":{},"body":[]}"#, "SESAME-IN-CLEAR {"] {
            let body = body.as_bytes();
            assert!(test.bring_signed(body, &webhook.signature(body)).await.is_some());
        }
        test.hear(&[]).await;
        let pending = "SELECT COUNT(*) AS value FROM carrier_events WHERE status = 'pending'";
        assert_eq!(test.db.raw().number(pending), 0);
        let at_rest = test.db.bytes_at_rest();
        assert!(!at_rest.windows(15).any(|bytes| bytes == b"SESAME-IN-CLEAR"), "bodies are sealed");
        assert_eq!(status(&test, &iccid).await, Some(SimStatus::Active));
        test.finish().await;
    }
}
