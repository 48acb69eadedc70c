//! What a person says of an outcome is checked where the carrier can tell.

use simdepot_application::AppError;
use simdepot_application::idempotency::IdempotencyKey;
use simdepot_application::operations::{self, OperationView, Verdict};
use simdepot_carrier_twin::{CallName, Fault, LineSpec, Script};
use simdepot_domain::operation::OperationStatus;
use simdepot_persistence::operations::Operation;
use simdepot_tests::depot::{PRODUCT, idempotency_key, stock_keeper};
use simdepot_tests::{TestDepot, on_both_databases};

use super::inbound::drifts;
use super::reconciliation::{Seen, look_through, sweep_profiles};
use super::unnamed::{buy_in_portal, done_by_hand, stored, subscriptions};

async fn say(
    test: &TestDepot,
    operation: &Operation,
    subscription: &str,
    key: Option<&IdempotencyKey>,
) -> Result<(OperationView, bool), AppError> {
    let verdict = Verdict::Done { subscription_id: Some(subscription.to_owned()) };
    let by = stock_keeper("default");
    operations::decide_by_hand(&test.depot, &by, operation.id, verdict, "in the portal".to_owned(), key).await
}

/// The code and the message for the subscription.
fn told<T: std::fmt::Debug>(refused: Result<T, AppError>) -> (String, String) {
    match refused {
        Err(AppError::Invalid(fields)) if fields.len() == 1 && fields[0].pointer == "/subscription_id" => {
            (fields[0].code.to_string(), fields[0].message.clone())
        }
        other => panic!("{other:?}"),
    }
}

/// One profile on which the first product is done, and the answer to a top-up is lost.
async fn lost_top_up(test: &TestDepot, reference: &str) -> (LineSpec, Operation) {
    let line = test.deliver(1).await.remove(0);
    test.order_with_product(reference, 1).await.unwrap();
    test.work_until_settled().await;
    test.twin.twin().add_script(Script::once(CallName::Order, Fault::DropAfterApply));
    test.top_up(&line.iccid, reference, PRODUCT).await.unwrap();
    test.work_until_settled().await;
    let operation = test.operations(Some(OperationStatus::Unknown)).await.remove(0);
    (line, operation)
}

on_both_databases! {
    async fn a_subscription_that_the_line_does_not_have_is_refused(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let (line, operation) = lost_top_up(&test, "ref-1").await;
        let [first, second] = subscriptions(&test, &line).try_into().unwrap();
        let (code, message) = told(say(&test, &operation, "mistyped", None).await);
        assert_eq!(code, "not_on_line");
        assert!(message.contains(&format!("but {first}, {second}")), "{message}");
        assert_eq!(test.operations(None).await[0].status, OperationStatus::Unknown);
        assert_eq!(told(say(&test, &operation, &first, None).await).0, "taken");
        // A replay is answered without a look at the carrier.
        let key = idempotency_key("key-1", "{}");
        assert_eq!(told(say(&test, &operation, "mistyped", Some(&key)).await).0, "not_on_line");
        for replayed in [false, true] {
            let calls = test.twin.twin().calls(CallName::Inventory);
            let (view, again) = say(&test, &operation, &second, Some(&key)).await.unwrap();
            assert_eq!((view.operation.status, again), (OperationStatus::Done, replayed));
            assert_eq!(test.twin.twin().calls(CallName::Inventory) - calls, u64::from(!replayed));
        }
        // What cannot be decided any more is refused for that, and without asking.
        let calls = test.twin.twin().calls(CallName::Inventory);
        let late = say(&test, &operation, "mistyped", None).await;
        assert!(matches!(late, Err(AppError::InvalidTransition { .. })), "{late:?}");
        assert_eq!(test.twin.twin().calls(CallName::Inventory), calls);
        test.finish().await;
    }

    /// A line with nothing on it is told as such.
    async fn a_line_with_nothing_on_it_is_told(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::DropBeforeApply));
        test.order_with_product("ref-1", 1).await.unwrap();
        test.work_until_settled().await;
        let operation = test.operations(None).await.remove(0);
        let (code, message) = told(say(&test, &operation, "880017", None).await);
        assert_eq!((code.as_str(), message.ends_with("but none")), ("not_on_line", true), "{message}");
        test.finish().await;
    }

    /// When the carrier cannot tell, or its list lacks what was there before, a person is believed.
    async fn a_list_that_proves_nothing_refuses_nobody(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let lens = look_through(&mut test);
        for (reference, seen) in [("first", Seen::Unreadable), ("second", Seen::Denied), ("third", Seen::Empty)] {
            lens.see(Seen::AsItIs);
            let (_, operation) = lost_top_up(&test, reference).await;
            lens.see(seen);
            let (view, _) = say(&test, &operation, reference, None).await.unwrap();
            assert_eq!(view.operation.status, OperationStatus::Done, "{seen:?}");
        }
        test.finish().await;
    }

    /// Called done without a name, and two may be it: the person says which, once, and the other is nobody's.
    async fn what_was_done_without_a_name_takes_the_one_that_a_person_says(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let line = done_by_hand(&test).await;
        let portal = buy_in_portal(&test, &line, PRODUCT).await;
        sweep_profiles(&mut test, 1).await;
        assert_eq!(drifts(&test), ["unexpected_bundle open", "unexpected_bundle open"]);
        let operation = test.operations(None).await.remove(0);
        assert_eq!((operation.status, told(say(&test, &operation, "mistyped", None).await).0.as_str()), (OperationStatus::Done, "not_on_line"));
        let ours = subscriptions(&test, &line).remove(0);
        let key = idempotency_key("key-1", "{}");
        for replayed in [false, true] {
            let (view, again) = say(&test, &operation, &ours, Some(&key)).await.unwrap();
            assert_eq!((view.operation.status, again), (OperationStatus::Done, replayed));
        }
        assert_eq!(stored(&test, &line).await[0].subscription_id, Some(ours.clone()));
        assert_eq!(drifts(&test), ["unexpected_bundle healed", "unexpected_bundle open"]);
        let told = test.db.raw().texts("SELECT data AS value FROM events WHERE type_name = 'bundle.identified'");
        assert!(told.len() == 1 && told[0].contains(&ours) && told[0].contains("in the portal"), "{told:?}");
        let again = say(&test, &operation, &ours, None).await;
        assert!(matches!(again, Err(AppError::InvalidTransition { .. })), "{again:?}");
        // The other one may be a purchase made twice.
        sweep_profiles(&mut test, 1).await;
        let bundles = stored(&test, &line).await;
        assert_eq!((bundles.len(), bundles[1].subscription_id.clone()), (2, Some(portal)));
        assert_eq!(drifts(&test), ["unexpected_bundle healed", "unexpected_bundle open"]);
        test.finish().await;
    }

    /// Only with a name, only one that is nobody else's, and only when there is nothing of the kind already.
    async fn a_name_is_not_taken_from_another(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let (line, operation) = lost_top_up(&test, "ref-1").await;
        let by = stock_keeper("default");
        for is_refused in [false, true] {
            let verdict = Verdict::Done { subscription_id: None };
            let said = operations::decide_by_hand(&test.depot, &by, operation.id, verdict, "seen".to_owned(), None).await;
            assert_eq!(matches!(said, Err(AppError::InvalidTransition { .. })), is_refused, "{said:?}");
        }
        let [first, second] = subscriptions(&test, &line).try_into().unwrap();
        assert_eq!(told(say(&test, &operation, &first, None).await).0, "taken");
        // Two people at once: one of them names it.
        let (one, other) = tokio::join!(say(&test, &operation, &second, None), say(&test, &operation, &second, None));
        assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1, "{one:?} {other:?}");
        test.finish().await;
    }
}
