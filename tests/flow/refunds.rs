//! What says whether an order may be paid back: the carrier's records as they are now, else the last known.

use simdepot_application::refunds::{self, Eligibility, ProfileRecord};
use simdepot_application::{AppError, cancellations};
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OrderId;
use simdepot_domain::refund::RefundReason;
use simdepot_domain::sim::SimStatus;
use simdepot_tests::depot::{PRODUCT, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

async fn asked(test: &TestDepot, id: OrderId) -> Eligibility {
    refunds::eligibility(&test.depot, &storefront("default"), id).await.unwrap()
}

fn codes(found: &Eligibility) -> Vec<RefundReason> {
    found.reasons.iter().map(|reason| reason.code).collect()
}

fn only(found: &Eligibility) -> &ProfileRecord {
    assert_eq!(found.evidence.len(), 1);
    &found.evidence[0]
}

/// The customer scans the code, switches the profile on and lands in a country.
fn use_it(test: &TestDepot, iccid: &Iccid, country: &str) {
    let now = SystemClock.now();
    let mut twin = test.twin.twin();
    twin.simulate_download(iccid, None, now).unwrap();
    twin.simulate_install(iccid, now).unwrap();
    twin.simulate_enable(iccid, now).unwrap();
    twin.attach(iccid, country, now).unwrap();
}

on_both_databases! {
    async fn each_step_of_a_customer_speaks_against_it(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let quiet = simdepot_application::orders::PlaceOrder {
            reveal: false,
            ..simdepot_tests::depot::order_of("ref-1", 1, Some(PRODUCT))
        };
        let id = test.place(quiet).await.unwrap().order.order.id;
        // Nothing is decided while the carrier's answer is open.
        let open = asked(&test, id).await;
        assert_eq!((open.eligible, codes(&open)), (false, vec![RefundReason::OutcomeOpen]));
        test.work_until_settled().await;
        let fresh = asked(&test, id).await;
        assert_eq!((fresh.eligible, codes(&fresh)), (true, vec![]));
        let record = only(&fresh);
        assert!(record.fresh && record.observed_at.is_some() && !record.eid_bound);
        assert_eq!((record.sim, record.esim), (Some(SimStatus::Preactivated), Some(EsimStatus::Released)));
        let bundle = &record.bundles[0];
        assert_eq!((bundle.status, bundle.used, bundle.product.as_str()), (BundleStatus::Preloaded, false, PRODUCT));
        // A shown code is no use, and is told.
        simdepot_application::orders::get(&test.depot, &storefront("default"), id, true).await.unwrap();
        let shown = asked(&test, id).await;
        assert_eq!((shown.eligible, codes(&shown)), (true, vec![RefundReason::CodeWasShown]));

        test.twin.twin().simulate_download(&line.iccid, None, SystemClock.now()).unwrap();
        let downloaded = asked(&test, id).await;
        assert!(!downloaded.eligible && codes(&downloaded).contains(&RefundReason::ProfileDownloaded));
        assert!(only(&downloaded).eid_bound);
        {
            let mut twin = test.twin.twin();
            twin.simulate_install(&line.iccid, SystemClock.now()).unwrap();
            twin.simulate_enable(&line.iccid, SystemClock.now()).unwrap();
            twin.attach(&line.iccid, "FR", SystemClock.now()).unwrap();
        }
        let used = asked(&test, id).await;
        assert_eq!(
            codes(&used),
            [
                RefundReason::ProfileDownloaded,
                RefundReason::DeviceBound,
                RefundReason::BundleStarted,
                RefundReason::LineActive,
                RefundReason::CodeWasShown
            ]
        );
        let bundle = &only(&used).bundles[0];
        assert!(bundle.used && bundle.activated_at.is_some() && bundle.id.is_some());
        // What was read is kept, and stays when the carrier does not answer.
        let profile = test.profile(&line.iccid).await;
        assert_eq!(profile.esim.unwrap().status, EsimStatus::Enabled);
        for call in [CallName::Esim, CallName::SimSearch, CallName::Inventory] {
            test.twin.twin().add_script(Script::always(call, Fault::Status500Before));
        }
        let stale = asked(&test, id).await;
        assert!(!only(&stale).fresh && only(&stale).observed_at.is_some());
        assert_eq!(codes(&stale), codes(&used));
        test.finish().await;
    }

    async fn what_the_carrier_did_not_say_is_the_last_known(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let id = test.order("ref-1", 1).await.unwrap().order.order.id;
        use_it(&test, &line.iccid, "FR");
        test.twin.twin().add_script(Script::once(CallName::Esim, Fault::Status503Before));
        let partly = asked(&test, id).await;
        // The line was read all the same.
        assert!(!only(&partly).fresh);
        assert_eq!(codes(&partly), [RefundReason::LineActive, RefundReason::CodeWasShown]);
        let whole = asked(&test, id).await;
        assert!(only(&whole).fresh && codes(&whole).contains(&RefundReason::ProfileDownloaded));
        test.finish().await;
    }

    /// What is known speaks for it, and the carrier, which knows better, does not answer: that is no yes.
    async fn what_could_not_be_asked_is_not_paid_back(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let id = test.order("ref-1", 1).await.unwrap().order.order.id;
        assert_eq!(codes(&asked(&test, id).await), [RefundReason::CodeWasShown]);
        let not_verified = [RefundReason::NotVerified, RefundReason::CodeWasShown];
        // One part that is missing is enough.
        test.twin.twin().add_script(Script::once(CallName::Inventory, Fault::Status503Before));
        let partly = asked(&test, id).await;
        assert_eq!((partly.eligible, codes(&partly).as_slice()), (false, not_verified.as_slice()));
        assert!(asked(&test, id).await.eligible);

        use_it(&test, &line.iccid, "FR");
        for call in [CallName::Esim, CallName::SimSearch, CallName::Inventory] {
            test.twin.twin().add_script(Script::always(call, Fault::Status503Before));
        }
        let unread = asked(&test, id).await;
        assert_eq!((unread.eligible, codes(&unread).as_slice()), (false, not_verified.as_slice()));
        assert!(!only(&unread).fresh && only(&unread).observed_at.is_some());
        // Nor when the account is not configured any more.
        test.depot.accounts = std::sync::Arc::default();
        assert_eq!(codes(&asked(&test, id).await), not_verified);
        test.finish().await;
    }

    /// Of a large order the carrier is not asked about every profile at once; the others may have been used.
    async fn a_profile_that_was_not_asked_about_is_not_paid_back(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(51).await;
        let id = test.order("ref-1", 51).await.unwrap().order.order.id;
        let found = asked(&test, id).await;
        let unread: Vec<&ProfileRecord> = found.evidence.iter().filter(|record| !record.fresh).collect();
        assert_eq!((found.evidence.len(), unread.len(), found.eligible), (51, 1, false));
        let not_verified = found.reasons.iter().filter(|reason| reason.code == RefundReason::NotVerified);
        let of: Vec<&Iccid> = not_verified.map(|reason| &reason.iccid).collect();
        assert_eq!(of, [&unread[0].iccid]);
        test.finish().await;
    }

    /// After a cancellation the profile still says whether it was used, until it is sold to somebody else.
    async fn a_cancelled_order_is_judged_by_what_stayed_away(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        let shown = test.order("shown", 1).await.unwrap().order.order.id;
        let quiet = simdepot_application::orders::PlaceOrder {
            reveal: false,
            ..simdepot_tests::depot::order_of("quiet", 1, None)
        };
        let quiet = test.place(quiet).await.unwrap().order.order.id;
        for id in [shown, quiet] {
            let caller = storefront("default");
            let wait = std::time::Duration::ZERO;
            cancellations::cancel(&test.depot, &caller, id, None, None, wait).await.unwrap();
        }
        use_it(&test, &lines[0].iccid, "FR");
        let found = asked(&test, shown).await;
        assert!(!found.eligible && codes(&found).contains(&RefundReason::ProfileDownloaded));
        // The other one went back on sale, unused; its next customer is nobody's business here.
        let stranger = storefront("other");
        let other = simdepot_application::orders::place(
            &test.depot,
            &stranger,
            simdepot_tests::depot::order_of("other", 1, None),
            None,
            std::time::Duration::ZERO,
        );
        assert_eq!(other.await.unwrap().order.lines[0].profiles[0].profile.iccid, lines[1].iccid);
        use_it(&test, &lines[1].iccid, "FR");
        let found = asked(&test, quiet).await;
        assert_eq!((found.eligible, found.evidence.len(), found.reasons.len()), (true, 0, 0));
        test.finish().await;
    }

    async fn another_channel_asks_in_vain(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        let id = test.order("ref-1", 1).await.unwrap().order.order.id;
        let refused = refunds::eligibility(&test.depot, &storefront("other"), id).await;
        assert!(matches!(refused, Err(AppError::NotFound { what: "order" })), "{refused:?}");
        test.finish().await;
    }
}
