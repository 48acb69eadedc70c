//! The timeline: the whole story for a stock keeper, its own part of it for a storefront, and what it comes down to.

use std::time::Duration;

use simdepot_application::profiles::{self, Move};
use simdepot_application::timeline::{self, Timeline};
use simdepot_application::{AppError, Caller, activation};
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::clock::{Clock as _, SystemClock};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::timeline::Diagnosis;
use simdepot_tests::depot::{PRODUCT, order_of, stock_keeper, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

async fn story(test: &TestDepot, caller: &Caller, iccid: &Iccid) -> Timeline {
    timeline::get(&test.depot, caller, iccid.clone()).await.unwrap()
}

fn texts(story: &Timeline) -> Vec<&str> {
    story.entries.iter().map(|entry| entry.text.as_str()).collect()
}

async fn moved(test: &TestDepot, iccid: &Iccid, asked: Move, reason: &str) {
    let caller = stock_keeper("default");
    profiles::command(&test.depot, &caller, iccid.clone(), asked, reason.to_owned(), None).await.unwrap();
}

on_both_databases! {
    async fn a_story_from_the_delivery_to_the_reveal(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let (keeper, shop) = (stock_keeper("default"), storefront("default"));
        let stocked = story(&test, &keeper, &line.iccid).await;
        assert_eq!((stocked.diagnosis, texts(&stocked)), (
            Diagnosis::NotSold,
            vec!["Delivered into the pool world"]
        ));
        moved(&test, &line.iccid, Move::Quarantine, "counted twice").await;
        assert_eq!(story(&test, &keeper, &line.iccid).await.diagnosis, Diagnosis::SetAside);
        moved(&test, &line.iccid, Move::Release, "was there").await;

        let mut asked = order_of("ref-1", 1, Some(PRODUCT));
        asked.reveal = false;
        let order = test.place(asked).await.unwrap().order.order.id;
        assert_eq!(story(&test, &shop, &line.iccid).await.diagnosis, Diagnosis::OrderInProgress);
        test.work_until_idle().await;
        assert_eq!(story(&test, &shop, &line.iccid).await.diagnosis, Diagnosis::CodeNeverShown);
        activation::reveal(&test.depot, &shop, line.iccid.clone()).await.unwrap();

        let whole = story(&test, &keeper, &line.iccid).await;
        assert_eq!(whole.diagnosis, Diagnosis::NeverDownloaded);
        let told = texts(&whole);
        let sold = format!("Sold with order {order}");
        for expected in [
            "Set aside: by a person (counted twice)",
            "Put on sale (was there)",
            &sold,
            "Order ref-1 taken",
            &format!("{PRODUCT} ordered with the profile"),
            &format!("Preload of {PRODUCT} sent to the carrier"),
            &format!("The carrier has done it: {PRODUCT}"),
            "The order is fulfilled",
            "Code shown on the command line",
        ] {
            assert!(told.contains(&expected), "{expected}: {told:#?}");
        }
        assert_eq!(told[0], "Delivered into the pool world");
        assert!(whole.entries.is_sorted_by_key(|entry| entry.at));

        // The storefront's part: from its order on, without what the stock keeper did and counted.
        let own = story(&test, &shop, &line.iccid).await;
        let told = texts(&own);
        assert!(told.contains(&sold.as_str()) && !told.iter().any(|text| text.contains("counted twice")), "{told:#?}");
        assert_eq!(own.entries[0].data, serde_json::json!({"pool": "world"}));
        let other = timeline::get(&test.depot, &storefront("other"), line.iccid.clone()).await;
        assert!(matches!(other, Err(AppError::NotFound { .. })), "{other:?}");
        let matching_id = line.activation_code.as_ref().unwrap().lpa();
        let matching_id = matching_id.rsplit('$').next().unwrap();
        assert!(!format!("{whole:?}").contains(matching_id), "never the code");
        test.finish().await;
    }

    async fn a_lost_answer_is_told(db: TestDatabase) {
        let test = TestDepot::start_with(db, Duration::from_millis(900)).await;
        let line = test.deliver(1).await.remove(0);
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::DropAfterApply));
        test.order_with_product("ref-1", 1).await.unwrap();
        test.work_until_settled().await;
        let told = story(&test, &storefront("default"), &line.iccid).await;
        assert_eq!(told.diagnosis, Diagnosis::OutcomeOpen);
        let lost = format!("The carrier's answer was lost; asking what became of {PRODUCT}");
        assert!(texts(&told).contains(&lost.as_str()), "{told:#?}");
        test.finish_unsettled().await;
    }

    async fn of_a_large_order_only_its_own_part(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(3).await;
        // The first was sold elsewhere; another takes its place.
        test.twin.twin().set_esim_status(&lines[0].iccid, EsimStatus::Allocated, SystemClock.now()).unwrap();
        test.order_with_product("ref-1", 2).await.unwrap();
        test.work_until_settled().await;
        let told = |text: String| move |entry: &timeline::TimelineEntry| entry.text.contains(&text);
        let keeper = stock_keeper("default");
        let out = story(&test, &keeper, &lines[0].iccid).await;
        assert!(out.entries.iter().any(told(format!("{} took its place", lines[2].iccid))), "{out:#?}");
        let other = story(&test, &keeper, &lines[1].iccid).await;
        assert!(!other.entries.iter().any(told("place".to_owned())), "{other:#?}");
        let by = story(&test, &storefront("default"), &lines[2].iccid).await;
        assert!(by.entries.iter().any(told(format!("Took the place of {}", lines[0].iccid))), "{by:#?}");
        let gone = timeline::get(&test.depot, &storefront("default"), lines[0].iccid.clone()).await;
        assert!(matches!(gone, Err(AppError::NotFound { .. })), "it belongs to nobody's order");
        test.finish().await;
    }
}
