//! What reached the line of a sold profile from elsewhere is taken into the books.

use serde_json::{Value as Json, json};
use simdepot_application::bundles;
use simdepot_application::cancellations;
use simdepot_application::{refunds, timeline};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::id::BundleId;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::bundles::Bundle;
use simdepot_tests::depot::{OTHER_PRODUCT, PRODUCT, profiles_of, stock_keeper, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

use super::inbound::{count, drifts, now, product, sold, tell};
use super::reconciliation::{Seen, look_through, pass_time, reconcile, sweep_profiles};
use super::unnamed::{Echo, buy_in_portal, done_by_hand, stored, subscriptions};

/// An event of a bundle with the reference that it echoes.
fn with_reference(mut event: Json, reference: &str) -> Json {
    event["body"]["externalReference"] = json!(reference);
    event
}

on_both_databases! {
    /// Bought in the carrier's portal: in the books with the first word of it, and followed from then on.
    async fn an_event_brings_it_in(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        let subscription = buy_in_portal(&test, &line, PRODUCT).await;
        tell(&test, &product(&line, "PRELOADED", now(), &subscription)).await;
        let [bundle] = stored(&test, &line).await.try_into().unwrap();
        assert!(bundle.is_adopted());
        assert_eq!((bundle.channel.as_str(), bundle.product.as_str()), ("default", PRODUCT));
        assert_eq!((bundle.status, bundle.version, bundle.subscription_id), (BundleStatus::Preloaded, 1, Some(subscription.clone())));
        assert_eq!(drifts(&test), ["unexpected_bundle healed"]);
        assert_eq!((count(&test, "bundle.adopted"), count(&test, "profile.drift_closed")), (1, 1));
        tell(&test, &product(&line, "ACTIVATED", now(), &subscription)).await;
        assert_eq!(stored(&test, &line).await[0].status, BundleStatus::Active);
        // Shown with what is left of it, to the channel that has the profile; told in its story.
        let caller = storefront("default");
        let [shown] = bundles::list(&test.depot, &caller, line.iccid.clone()).await.unwrap().try_into().unwrap();
        assert!(shown.operation.is_none() && shown.bundle.reference.is_none());
        assert!(shown.bundle.expires_at.is_some() && shown.bundle.fetched_at.is_some());
        let story = timeline::get(&test.depot, &caller, line.iccid.clone()).await.unwrap();
        let told = story.entries.iter().find(|entry| entry.type_name == "bundle.adopted").unwrap();
        assert!(told.text.contains("not ordered here"), "{told:?}");
        let view = reconcile(&test).await;
        assert_eq!((view.reconciliation.counts.drifts, view.open_drifts.len()), (0, 0));
        test.finish().await;
    }

    async fn a_comparison_brings_it_in(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let line = sold(&test).await;
        buy_in_portal(&test, &line, OTHER_PRODUCT).await;
        let view = reconcile(&test).await;
        let counts = &view.reconciliation.counts;
        assert_eq!((counts.drifts, counts.healed, view.open_drifts.len()), (1, 1, 0));
        let bundles = stored(&test, &line).await;
        assert!(bundles[0].fetched_at.is_some() && bundles[0].expires_at.is_some());
        sweep_profiles(&mut test, 2).await;
        assert_eq!((stored(&test, &line).await.len(), count(&test, "bundle.adopted")), (1, 1));
        test.finish().await;
    }

    /// Reading the bundles of a line with one of ours finds the other one.
    async fn reading_the_bundles_brings_it_in(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        test.order_with_product("ref-1", 1).await.unwrap();
        test.work_until_settled().await;
        buy_in_portal(&test, &line, OTHER_PRODUCT).await;
        let shown = bundles::list(&test.depot, &storefront("default"), line.iccid.clone()).await.unwrap();
        assert_eq!((shown.len(), drifts(&test)), (2, vec!["unexpected_bundle healed".to_owned()]));
        test.finish().await;
    }

    /// Two processes that hear of it at once adopt it once.
    async fn it_is_adopted_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        let subscription = buy_in_portal(&test, &line, PRODUCT).await;
        for _ in 0..6 {
            super::inbound::post(&test, &product(&line, "PRELOADED", now(), &subscription)).await;
        }
        let workers: Vec<_> = [test.depot.clone(), test.restarted(), test.restarted()]
            .into_iter()
            .map(|depot| {
                tokio::spawn(async move { while simdepot_application::inbound::step(&depot).await.unwrap() {} })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        assert_eq!((stored(&test, &line).await.len(), count(&test, "bundle.adopted")), (1, 1));
        assert_eq!(drifts(&test), ["unexpected_bundle healed"]);
        test.finish().await;
    }

    /// A purchase of our own that was made twice is in the books, and stays a difference until it ends.
    async fn what_may_be_our_own_twice_stays_a_difference(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        test.order_with_product("ref-1", 1).await.unwrap();
        test.work_until_settled().await;
        let second = buy_in_portal(&test, &line, PRODUCT).await;
        let other = buy_in_portal(&test, &line, OTHER_PRODUCT).await;
        let view = reconcile(&test).await;
        assert_eq!((view.reconciliation.counts.drifts, view.reconciliation.counts.healed), (2, 1));
        assert_eq!(view.open_drifts[0].1.subject, second, "the other product was never sent for");
        let adopted: Vec<_> = stored(&test, &line).await.into_iter().filter(Bundle::is_adopted).collect();
        let ids: Vec<_> = adopted.iter().filter_map(|bundle| bundle.subscription_id.clone()).collect();
        assert_eq!(ids, [second.clone(), other]);
        sweep_profiles(&mut test, 1).await;
        tell(&test, &product(&line, "ACTIVATED", now(), &second)).await;
        assert_eq!(drifts(&test), ["unexpected_bundle open", "unexpected_bundle healed"]);
        assert_eq!(reconcile(&test).await.open_drifts.len(), 1, "it is told every time");
        tell(&test, &product(&line, "EXPIRED", now(), &second)).await;
        assert_eq!(drifts(&test)[0], "unexpected_bundle gone");
        test.finish().await;
    }

    /// A list that leaves it out for once takes the report of it away neither for now nor for good.
    async fn a_purchase_made_twice_is_told_until_it_ends(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let lens = look_through(&mut test);
        let line = test.deliver(1).await.remove(0);
        test.order_with_product("ref-1", 1).await.unwrap();
        test.work_until_settled().await;
        let second = buy_in_portal(&test, &line, PRODUCT).await;
        tell(&test, &product(&line, "PRELOADED", now(), &second)).await;
        assert_eq!(drifts(&test), ["unexpected_bundle open"]);
        lens.see(Seen::Empty);
        sweep_profiles(&mut test, 1).await;
        assert_eq!(drifts(&test), ["unexpected_bundle open"]);
        // Both of them are missed then, and are there again.
        pass_time(&test);
        sweep_profiles(&mut test, 1).await;
        assert_eq!(drifts(&test), ["unexpected_bundle open", "missing_bundle open", "missing_bundle open"]);
        lens.see(Seen::AsItIs);
        sweep_profiles(&mut test, 1).await;
        assert_eq!(drifts(&test), ["unexpected_bundle open", "missing_bundle gone", "missing_bundle gone"]);
        // Closed by mistake, it is told again by the next list, event or reading, and by each of them once.
        for open in 2..5 {
            test.db.raw().execute("UPDATE drifts SET status = 'gone'");
            match open {
                2 => sweep_profiles(&mut test, 1).await,
                3 => tell(&test, &product(&line, "PRELOADED", now(), &second)).await,
                _ => drop(bundles::list(&test.depot, &storefront("default"), line.iccid.clone()).await.unwrap()),
            }
            sweep_profiles(&mut test, 2).await;
            let told = drifts(&test).iter().filter(|drift| *drift == "unexpected_bundle open").count();
            assert_eq!((told, count(&test, "profile.drift_found")), (1, open + 2), "{:?}", drifts(&test));
        }
        // Its end closes it, whatever an old list says.
        tell(&test, &product(&line, "EXPIRED", now(), &second)).await;
        sweep_profiles(&mut test, 2).await;
        assert!(drifts(&test).iter().all(|drift| drift.ends_with("gone")), "{:?}", drifts(&test));
        test.finish().await;
    }

    /// What was on the line before anything was sent for is not ours.
    async fn what_was_there_before_was_not_bought_twice(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let line = sold(&test).await;
        buy_in_portal(&test, &line, PRODUCT).await;
        sweep_profiles(&mut test, 1).await;
        test.top_up(&line.iccid, "more", PRODUCT).await.unwrap();
        test.work_until_settled().await;
        sweep_profiles(&mut test, 2).await;
        assert_eq!((stored(&test, &line).await.len(), drifts(&test)), (2, vec!["unexpected_bundle healed".to_owned()]));
        test.finish().await;
    }

    /// One that names an operation of ours says so itself, in an event and in a list.
    async fn a_reference_of_ours_is_suspicious(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let echo = Echo::before(&mut test);
        let line = test.deliver(1).await.remove(0);
        test.order_with_product("ref-1", 1).await.unwrap();
        test.work_until_settled().await;
        let ours = test.operations(None).await[0].id.to_string();
        let [told, listed, somebody] = [PRODUCT, OTHER_PRODUCT, OTHER_PRODUCT].map(str::to_owned);
        let told = buy_in_portal(&test, &line, &told).await;
        tell(&test, &with_reference(product(&line, "PRELOADED", now(), &told), &ours)).await;
        let listed = buy_in_portal(&test, &line, &listed).await;
        let somebody = buy_in_portal(&test, &line, &somebody).await;
        echo.echo(&told, &ours);
        echo.echo(&listed, &ours);
        echo.echo(&somebody, "their own");
        let open: Vec<_> = reconcile(&test).await.open_drifts.into_iter().map(|(_, drift)| drift.subject).collect();
        assert_eq!(open, [told, listed]);
        assert_eq!(stored(&test, &line).await.len(), 4);
        test.finish().await;
    }

    /// While a person has called an order done without naming its subscription, what may be that one is not adopted.
    async fn what_may_be_unnamed_is_left_to_be_named(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let line = done_by_hand(&test).await;
        let ours = subscriptions(&test, &line).remove(0);
        tell(&test, &product(&line, "PRELOADED", now(), &ours)).await;
        assert_eq!((stored(&test, &line).await.len(), drifts(&test)), (1, vec!["unexpected_bundle open".to_owned()]));
        let other = buy_in_portal(&test, &line, OTHER_PRODUCT).await;
        let mut bought = with_reference(product(&line, "PRELOADED", now(), &other), "portal");
        bought["body"]["productSubscription"]["productDefinition"] = json!({"productId": OTHER_PRODUCT});
        tell(&test, &bought).await;
        assert_eq!(stored(&test, &line).await.len(), 2, "known to be another's");
        sweep_profiles(&mut test, 1).await;
        let bundles = stored(&test, &line).await;
        assert_eq!((bundles.len(), bundles[0].subscription_id.clone()), (2, Some(ours)));
        assert!(reconcile(&test).await.open_drifts.is_empty());
        test.finish().await;
    }

    /// What is over, or not told well enough, is no bundle of anybody's; an unsold profile is set aside.
    async fn only_what_is_usable_on_a_sold_profile_is_adopted(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        tell(&test, &product(&line, "EXPIRED", now(), "over")).await;
        tell(&test, &product(&line, "TERMINATED", now(), "ended")).await;
        let mut nameless = product(&line, "PRELOADED", now(), "nameless");
        nameless["body"]["productSubscription"]["productDefinition"] = json!({});
        tell(&test, &nameless).await;
        assert_eq!(drifts(&test), ["unexpected_bundle gone", "unexpected_bundle gone", "unexpected_bundle open"]);
        let unsold = test.deliver(1).await.remove(0);
        buy_in_portal(&test, &unsold, PRODUCT).await;
        assert_eq!(reconcile(&test).await.open_drifts.len(), 1);
        assert_eq!(test.profile(&unsold.iccid).await.stock_status, StockStatus::Quarantined);
        assert_eq!(count(&test, "bundle.adopted"), 0);
        test.finish().await;
    }

    /// Its subscription and its channel are what the ledger says.
    async fn the_ledger_knows_it(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        tell(&test, &product(&line, "PRELOADED", now(), "portal-1")).await;
        for (change, what) in [
            ("subscription_id = 'another'", "is another subscription than its events say"),
            ("subscription_id = NULL", "names its subscription"),
            ("channel = 'other'", "has another profile, product, order, channel or reference"),
            ("reference = 'top-up'", "has another profile, product, order, channel or reference"),
            ("status = 'active'", "its events say preloaded"),
        ] {
            test.assert_verified().await;
            test.db.raw().execute(&format!("UPDATE bundles SET {change}"));
            let findings = test.findings().await;
            assert!(findings.iter().any(|finding| finding.contains(what)), "{change}: {findings:#?}");
            test.db.raw().execute(
                "UPDATE bundles SET subscription_id = 'portal-1', channel = 'default', reference = NULL, status = 'preloaded'",
            );
        }
        test.finish().await;
    }

    /// It counts as any bundle: there is no proof that the profile is as it was, and what is used of it is used.
    async fn it_counts_for_refunds_and_cancellations(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        let subscription = buy_in_portal(&test, &line, PRODUCT).await;
        tell(&test, &product(&line, "ACTIVATED", now(), &subscription)).await;
        let order = test.db.raw().texts("SELECT subject_id AS value FROM events WHERE type_name = 'order.created'");
        let order = order[0].parse().unwrap();
        let caller = stock_keeper("default");
        let told = refunds::eligibility(&test.depot, &caller, order).await.unwrap();
        let shown: Vec<Option<BundleId>> = told.evidence[0].bundles.iter().map(|bundle| bundle.id).collect();
        assert_eq!((told.eligible, shown), (false, vec![Some(stored(&test, &line).await[0].id)]));
        let wait = std::time::Duration::from_secs(5);
        cancellations::cancel(&test.depot, &caller, order, None, None, wait).await.unwrap();
        let order = test.read_order(order).await;
        assert_eq!(order.order.status, OrderStatus::Cancelled);
        assert_eq!(profiles_of(&order)[0].stock_status, StockStatus::Quarantined);
        test.finish().await;
    }
}
