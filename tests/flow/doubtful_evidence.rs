//! What the carrier says and what follows from it: nothing is bought twice on a list that proves nothing, and no stock
//! is lost over an answer that may be anybody's fault.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use simdepot_application::operations::{self, Verdict};
use simdepot_application::{cancellations, housekeeping};
use simdepot_carrier_twin::scripts::Matches;
use simdepot_carrier_twin::{CallName, Fault, LineSpec, Script};
use simdepot_domain::bundle::{BundleStatus, OrderType};
use simdepot_domain::carrier::{BundleOrder, BundleReading, BundleReceipt, Placement};
use simdepot_domain::id::OrderId;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{OTHER_PRODUCT, PRODUCT, stock_keeper, storefront};
use simdepot_tests::{TestDatabase, TestDepot, on_both_databases};

use crate::carriers::{At, Between, Distorting, Distortions, Listed};

const TIMEOUT: Duration = Duration::from_millis(600);
/// Long enough for many looks at the carrier.
const MANY_LOOKS: Duration = Duration::from_millis(2_500);

async fn start(db: TestDatabase) -> TestDepot {
    let mut test = TestDepot::start_with(db, TIMEOUT).await;
    test.pace(|pace| {
        pace.resolve_margin = TimeDelta::milliseconds(400);
        pace.absence_gap = TimeDelta::milliseconds(150);
        pace.backoff_cap = TimeDelta::milliseconds(100);
    });
    test
}

fn distort(test: &mut TestDepot, distortions: Distortions) -> Arc<Distorting> {
    let mut made = None;
    test.wrap_carrier(|inner| {
        let carrier = Arc::new(Distorting::new(inner, distortions));
        made = Some(Arc::clone(&carrier));
        carrier
    });
    made.unwrap()
}

fn lists(bundles: fn(Listed) -> Listed) -> Distortions {
    Distortions { bundles: Some(bundles), ..Distortions::default() }
}

fn meet(test: &TestDepot, fault: Fault) {
    test.twin.twin().add_script(Script::once(CallName::Order, fault));
}

async fn order(test: &TestDepot, reference: &str) -> OrderId {
    let id = test.order_with_product(reference, 1).await.unwrap().order.order.id;
    test.work_until_settled().await;
    id
}

/// Lets worker, resolver and housekeeping look for a while.
async fn look_for(test: &TestDepot, time: Duration) {
    let end = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < end {
        housekeeping::step(&test.depot).await.unwrap();
        operations::resolve_step(&test.depot).await.unwrap();
        operations::step(&test.depot).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The order is not decided and nothing is sent while the carrier distorts; it is fulfilled by the one bundle that is
/// there when the carrier tells the truth.
async fn undecided_until_the_truth(test: &TestDepot, carrier: &Distorting, id: OrderId, sent: u64) {
    look_for(test, MANY_LOOKS).await;
    assert_eq!(test.read_order(id).await.order.status, OrderStatus::InProgress);
    assert_eq!(test.order_requests(), sent, "sent again on a list that proves nothing");
    let open = test.operations(Some(OperationStatus::Unknown)).await.remove(0);
    assert!(open.reads > 2 && open.resolution.unwrap()["last_failure"].is_string());
    carrier.repent();
    test.resolve_until_settled().await;
    assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
    assert_eq!(test.order_requests(), sent);
}

fn long_ago(listed: Listed) -> Listed {
    let old = |bundle: BundleReading| BundleReading {
        ordered_at: bundle.ordered_at.map(|at| at - TimeDelta::hours(1)),
        reference: None,
        ..bundle
    };
    listed.map(|bundles| bundles.into_iter().map(old).collect())
}

fn unfinished(listed: Listed) -> Listed {
    let pending = |bundle| BundleReading { status: BundleStatus::Unknown, ..bundle };
    listed.map(|bundles| bundles.into_iter().map(pending).collect())
}

fn empty(_: Listed) -> Listed {
    Some(Vec::new())
}

fn unknown(_: Listed) -> Listed {
    None
}

fn without_subscription(placement: Placement) -> Placement {
    match placement {
        Placement::Done(receipt) => Placement::Done(BundleReceipt { subscription_id: None, ..receipt }),
        other => other,
    }
}

async fn stands(test: &TestDepot, line: &LineSpec) -> (StockStatus, Option<QuarantineReason>) {
    let profile = test.profile(&line.iccid).await;
    (profile.stock_status, profile.quarantine_reason)
}

const ON_SALE: (StockStatus, Option<QuarantineReason>) = (StockStatus::Available, None);
const REFUSED: (StockStatus, Option<QuarantineReason>) =
    (StockStatus::Quarantined, Some(QuarantineReason::RefusedByCarrier));

on_both_databases! {
    async fn a_date_that_does_not_fit_is_no_proof_of_absence(db: TestDatabase) {
        let mut test = start(db).await;
        test.deliver(1).await;
        let carrier = distort(&mut test, lists(long_ago));
        meet(&test, Fault::DropAfterApply);
        let id = order(&test, "ref-1").await;
        undecided_until_the_truth(&test, &carrier, id, 1).await;
        test.finish().await;
    }

    async fn what_is_not_finished_is_not_delivered(db: TestDatabase) {
        let mut test = start(db).await;
        test.deliver(1).await;
        let carrier = distort(&mut test, lists(unfinished));
        meet(&test, Fault::Status504AfterApply);
        let id = order(&test, "ref-1").await;
        undecided_until_the_truth(&test, &carrier, id, 1).await;
        test.finish().await;
    }

    async fn a_line_that_was_known_is_not_unknown_now(db: TestDatabase) {
        let mut test = start(db).await;
        test.deliver(1).await;
        meet(&test, Fault::DropAfterApply);
        let id = order(&test, "ref-1").await;
        let carrier = distort(&mut test, lists(unknown));
        undecided_until_the_truth(&test, &carrier, id, 1).await;
        test.finish().await;
    }

    /// A list that lacks what was there before the sending may lack what came of it, too.
    async fn an_incomplete_list_proves_nothing(db: TestDatabase) {
        let mut test = start(db).await;
        let line = test.deliver(1).await.remove(0);
        order(&test, "ref-1").await;
        let carrier = distort(&mut test, Distortions::default());
        meet(&test, Fault::DropAfterApply);
        let top_up = test.top_up(&line.iccid, "top-1", OTHER_PRODUCT).await.unwrap().bundle.bundle.id;
        test.work_until_settled().await;
        carrier.distortions.lock().unwrap().bundles = Some(empty);
        look_for(&test, MANY_LOOKS).await;
        assert_eq!(test.order_requests(), 2, "sent again on a list that proves nothing");
        carrier.repent();
        test.resolve_until_settled().await;
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (2, 2));
        let done = test.operations(Some(OperationStatus::Done)).await;
        assert!(done.iter().any(|operation| operation.bundle == Some(top_up)));
        test.finish().await;
    }

    /// The carrier took the order, and says not as what. It is looked for at once, and never sent again by itself.
    async fn a_receipt_without_a_subscription_is_looked_up(db: TestDatabase) {
        let mut test = start(db).await;
        test.deliver(2).await;
        let nameless = Distortions { placement: Some(without_subscription), ..Distortions::default() };
        let carrier = distort(&mut test, nameless);
        let id = order(&test, "ref-1").await;
        test.resolve_until_settled().await;
        let view = test.read_order(id).await;
        assert_eq!(view.order.status, OrderStatus::Fulfilled);
        let subscription = view.lines[0].profiles[0].bundle.as_ref().unwrap().bundle.subscription_id.clone();
        assert_eq!(subscription, Some(test.carrier_orders()[0].subscription_id.clone()));
        // The list does not show it, however often it is read.
        carrier.distortions.lock().unwrap().bundles = Some(empty);
        let id = order(&test, "ref-2").await;
        undecided_until_the_truth(&test, &carrier, id, 2).await;
        test.finish().await;
    }

    /// The line changed after a sending whose answer was lost: perhaps by that sending.
    async fn a_refusal_after_a_lost_answer_buys_nothing_else(db: TestDatabase) {
        let test = start(db).await;
        let titles = ["SUBSCRIBER_STATUS_NOT_ELIGIBLE", "SUBSCRIBER_NOT_FOUND", "BAD_REQUEST"];
        let lines = test.deliver(4).await;
        for (number, title) in titles.into_iter().enumerate() {
            meet(&test, Fault::DropBeforeApply);
            meet(&test, Fault::RefuseTitle { status: 400, title: title.to_owned() });
            let sent = test.order_requests();
            let id = order(&test, title).await;
            look_for(&test, MANY_LOOKS).await;
            let open = test.operations(Some(OperationStatus::NeedsAttention)).await.remove(0);
            assert!(open.answer_lost && open.evidence.is_some());
            assert_eq!(open.problem.unwrap()["code"], title);
            assert_eq!(test.read_order(id).await.order.status, OrderStatus::NeedsAttention);
            assert_eq!(test.order_requests() - sent, 2, "{title}");
            assert_eq!(stands(&test, &lines[number + 1]).await, ON_SALE);
            let (person, verdict) = (stock_keeper("ops"), Verdict::Refused);
            let decided =
                operations::decide_by_hand(&test.depot, &person, open.id, verdict, "asked".into(), None);
            decided.await.unwrap();
        }
        test.finish().await;
    }

    async fn a_cancelled_order_with_a_lost_answer_gives_nothing_back_to_sale(db: TestDatabase) {
        let test = start(db).await;
        let line = test.deliver(1).await.remove(0);
        meet(&test, Fault::DropBeforeApply);
        let id = order(&test, "ref-1").await;
        let (shop, reason) = (storefront("default"), None);
        let asked = cancellations::cancel(&test.depot, &shop, id, reason, None, Duration::ZERO);
        assert!(asked.await.unwrap().order.order.cancelling_since.is_some());
        test.resolve_until_settled().await;
        while cancellations::step(&test.depot).await.unwrap() {}
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Cancelled);
        let unproven = (StockStatus::Quarantined, Some(QuarantineReason::ReturnedUnproven));
        assert_eq!(stands(&test, &line).await, unproven);
        test.finish().await;
    }

    /// An index that lags shows no line; the SM-DP+ knows the SIM very well.
    async fn a_sim_that_an_index_lacks_is_sold(db: TestDatabase) {
        let mut test = start(db).await;
        test.deliver(2).await;
        distort(&mut test, Distortions { line: Some(|_| None), ..Distortions::default() });
        let id = order(&test, "ref-1").await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        test.finish().await;
    }

    async fn a_line_that_carries_something_is_not_sold_as_new(db: TestDatabase) {
        let test = start(db).await;
        let lines = test.deliver(2).await;
        let elsewhere = BundleOrder {
            iccid: lines[0].iccid.clone(),
            msisdn: lines[0].msisdn.clone().unwrap(),
            product: PRODUCT.to_owned(),
            order_type: OrderType::Preload,
            reference: "elsewhere".to_owned(),
        };
        let account = test.depot.accounts.values().next().unwrap();
        assert!(matches!(account.carrier.place_bundle(&elsewhere).await, Placement::Done(_)));
        let id = order(&test, "ref-1").await;
        assert_eq!(test.read_order(id).await.lines[0].profiles[0].profile.iccid, lines[1].iccid);
        let in_use = (StockStatus::Quarantined, Some(QuarantineReason::SeenInUse));
        assert_eq!(stands(&test, &lines[0]).await, in_use);
        test.finish().await;
    }

    /// The profile at the head of the pool is refused without a word about it: the next one shows that it was to blame.
    async fn one_bad_profile_does_not_refuse_every_order(db: TestDatabase) {
        let test = start(db).await;
        let lines = test.deliver(4).await;
        for bad in &lines[..2] {
            let fault = Fault::RefuseTitle { status: 400, title: "BAD_REQUEST".to_owned() };
            let matches = Matches { iccid: Some(bad.iccid.to_string()), ..Matches::default() };
            test.twin.twin().add_script(Script { matches, ..Script::always(CallName::Order, fault) });
        }
        let id = order(&test, "ref-1").await;
        let view = test.read_order(id).await;
        assert_eq!(
            (view.order.status, &view.lines[0].profiles[0].profile.iccid),
            (OrderStatus::Fulfilled, &lines[2].iccid)
        );
        assert_eq!((stands(&test, &lines[0]).await, stands(&test, &lines[1]).await), (REFUSED, REFUSED));
        let id = order(&test, "ref-2").await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!(test.order_requests(), 4);
        test.finish().await;
    }

    /// The carrier refuses all of them: it is what is sent that is wrong, and the stock stays on sale.
    async fn a_wrong_request_costs_no_stock(db: TestDatabase) {
        let test = start(db).await;
        let lines = test.deliver(6).await;
        let fault = Fault::RefuseTitle { status: 400, title: "BAD_REQUEST".to_owned() };
        test.twin.twin().add_script(Script::always(CallName::Order, fault));
        let id = order(&test, "ref-1").await;
        let view = test.read_order(id).await;
        assert_eq!(view.order.status, OrderStatus::Failed);
        assert_eq!(view.order.problem.unwrap()["code"], "BAD_REQUEST");
        for line in &lines {
            assert_eq!(stands(&test, line).await, ON_SALE);
        }
        assert_eq!(test.order_requests(), 4, "one and three substitutes");
        test.finish().await;
    }

    /// The carrier's answer comes when others have taken it for lost: it still counts.
    async fn a_late_receipt_is_evidence(db: TestDatabase) {
        let mut test = TestDepot::start_with(db, Duration::from_millis(1_500)).await;
        test.pace(|pace| pace.resolve_margin = TimeDelta::milliseconds(400));
        test.deliver(1).await;
        let other = test.restarted();
        let mut held = None;
        test.wrap_carrier(|inner| {
            let carrier = Arc::new(Between::holding(inner, At::Order));
            held = Some(Arc::clone(&carrier));
            carrier
        });
        let held = held.unwrap();
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        let depot = test.depot.clone();
        let sender = tokio::spawn(async move { operations::step(&depot).await });
        held.reached.notified().await;
        while test.operations(Some(OperationStatus::Unknown)).await.is_empty() {
            housekeeping::step(&other).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        held.go_on.notify_one();
        assert!(sender.await.unwrap().unwrap());
        let done = test.operations(Some(OperationStatus::Done)).await.remove(0);
        assert_eq!(done.evidence.unwrap()["source"], "late receipt");
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!(test.order_requests(), 1);
        test.finish().await;
    }
}

/// An account that is waited for longer than a lease usually lasts sells all the same.
#[tokio::test]
async fn a_patient_account_sells() {
    let test = TestDepot::start_with(TestDatabase::sqlite(), Duration::from_secs(40)).await;
    test.deliver(1).await;
    let id = order(&test, "ref-1").await;
    assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
    test.finish().await;
}
