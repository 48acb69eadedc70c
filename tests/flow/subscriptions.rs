//! Subscriptions that are activated with the sale, at a carrier that takes our own number of a command, acknowledges it,
//! and tells later how it went.

use chrono::TimeDelta;
use serde_json::json;
use simdepot_application::operations::{Verdict, decide_by_hand};
use simdepot_application::orders::OrderView;
use simdepot_application::pools::{self, PoolChange};
use simdepot_application::{AppError, activation, cancellations, replacements};
use simdepot_carrier_twin::sps::{SpsEvent, SpsTwin, StateCheck, TransactionProfile};
use simdepot_carrier_twin::{CallName, Fault};
use simdepot_domain::channel::PoolName;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{order_of, pool_settings, profiles_of, stock_keeper, storefront};
use simdepot_tests::{TestCarrier, TestDepot, on_both_databases};

fn iccids(order: &OrderView) -> Vec<Iccid> {
    profiles_of(order).into_iter().map(|profile| profile.iccid).collect()
}

on_both_databases! {
    async fn an_order_activates_each_of_its_profiles_once(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.stock_up(5).await;
        let order = test.sell("one", 3).await;
        assert_eq!(test.read_order(order).await.order.status, OrderStatus::InProgress);
        let order = test.settle_order(order, OrderStatus::Fulfilled).await;
        for profile in profiles_of(&order) {
            assert_eq!(test.activations(&profile.iccid), 1);
            assert_eq!(profile.sim.map(|seen| seen.status), Some(SimStatus::Active));
            assert_eq!(profile.stock_status, StockStatus::Allocated);
        }
        // The same again is the same order.
        assert_eq!(test.sell("one", 3).await, order.order.id);
        test.settle().await;
        assert_eq!(test.activated().len(), 3);
        for operation in test.operations(None).await {
            assert_eq!((operation.status, operation.attempts), (OperationStatus::Done, 1), "{operation:#?}");
            assert_eq!(operation.evidence.unwrap()["source"], "transaction");
        }
        test.finish().await;
    }

    async fn an_acknowledgement_is_not_the_end(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.twin.twin().assumptions_mut().completion_delay_ms = 600_000;
        test.stock_up(1).await;
        let order = test.sell("slow", 1).await;
        test.work_round().await;
        let operation = test.operations(None).await.remove(0);
        assert_eq!(operation.status, OperationStatus::Accepted);
        assert_eq!(test.read_order(order).await.order.status, OrderStatus::InProgress);
        assert!(test.activated().is_empty());
        test.finish().await;
    }

    async fn a_lost_answer_is_asked_after_before_anything_is_sent_again(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        for (round, fault) in [
            Fault::DropAfterApply,
            Fault::DropBeforeApply,
            Fault::Status503AfterApply,
            Fault::Status500Before,
            Fault::Garbage,
            Fault::ApplyLate { ms: 300 },
        ].into_iter().enumerate() {
            test.stock_up(1).await;
            test.fail_once(CallName::Activate, fault.clone());
            let order = test.sell(&format!("lost-{round}"), 1).await;
            let order = test.settle_order(order, OrderStatus::Fulfilled).await;
            let iccid = iccids(&order).remove(0);
            assert_eq!(test.activations(&iccid), 1, "{fault:?}");
            let operation = test.operations(None).await.remove(0);
            let sent = test.twin.twin().received_as(&operation.id.to_string()).count();
            let (never_arrived, late) =
                (matches!(fault, Fault::DropBeforeApply | Fault::Status500Before), matches!(fault, Fault::ApplyLate { .. }));
            assert!(sent == 1 + usize::from(never_arrived) || late, "{fault:?}: sent {sent} times");
            let numbers = test.twin.twin().received().iter().filter_map(|write| write.id.clone()).collect::<Vec<_>>();
            assert!(numbers.iter().all(|id| id.starts_with("op_")), "{numbers:?}");
        }
        test.finish().await;
    }

    async fn an_activation_that_fails_late_goes_to_another_profile(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.stock_up(2).await;
        let fault = Fault::LateFailure { code: "E1".to_owned(), message: "HLR says no".to_owned() };
        test.fail_once(CallName::Activate, fault);
        let order = test.sell("late", 1).await;
        let order = test.settle_order(order, OrderStatus::Fulfilled).await;
        test.settle().await;
        let sold = iccids(&order).remove(0);
        assert_eq!(test.activated(), [(sold.to_string(), 1)]);
        // Another one was taken for the same: the first was to blame.
        let operations = test.operations(None).await;
        assert_eq!(operations.len(), 2);
        let refused = operations.iter().find(|operation| operation.status == OperationStatus::Refused).unwrap();
        assert!(refused.problem.as_ref().unwrap().to_string().contains("HLR says no"), "{refused:#?}");
        test.finish().await;
    }

    async fn a_request_that_is_wrong_fails_the_order_and_keeps_the_stock(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let stock = test.stock_up(5).await;
        for _ in 0..4 {
            test.fail_once(CallName::Activate, Fault::RefuseTitle { status: 400, title: "bad plan".to_owned() });
        }
        let order = test.sell("wrong", 1).await;
        test.settle_order(order, OrderStatus::Failed).await;
        assert!(test.activated().is_empty());
        for iccid in stock {
            assert_eq!(test.profile(&iccid).await.stock_status, StockStatus::Available);
        }
        test.finish().await;
    }

    async fn a_sim_that_is_in_use_is_set_aside(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.stock_up(2).await;
        test.fail_once(CallName::Activate, Fault::RefuseTitle { status: 409, title: "in use".to_owned() });
        let order = test.sell("used", 1).await;
        let order = test.settle_order(order, OrderStatus::Fulfilled).await;
        let first = test.operations(None).await.into_iter().find(|one| one.status == OperationStatus::Refused);
        let refused = first.unwrap().profile_id;
        assert_ne!(profiles_of(&order)[0].id, refused);
        test.settle().await;
        let aside = test.profile_by_id(refused).await;
        // Another one was taken for the same, so it was to blame.
        assert_eq!(aside.stock_status, StockStatus::Quarantined);
        assert_eq!(aside.quarantine_reason, Some(QuarantineReason::RefusedByCarrier));
        test.settle().await;
        test.finish().await;
    }

    async fn a_number_that_is_in_use_costs_no_stock(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let stock = test.stock_up(5).await;
        for _ in 0..4 {
            test.fail_once(CallName::Activate, Fault::RefuseTitle { status: 409, title: "number in use".to_owned() });
        }
        let order = test.sell("number", 1).await;
        test.settle_order(order, OrderStatus::Failed).await;
        for iccid in stock {
            assert_eq!(test.profile(&iccid).await.stock_status, StockStatus::Available);
        }
        test.finish().await;
    }

    async fn what_was_acknowledged_is_asked_after_when_a_person_has_it_tried_again(db: TestDatabase) {
        let mut test = TestDepot::start_wholesale(db).await;
        test.pace(|pace| pace.transaction_give_up = TimeDelta::milliseconds(1_500));
        test.twin.twin().assumptions_mut().transaction_profile = TransactionProfile::SeedLiteral;
        test.stock_up(2).await;
        let order = test.sell("retried", 1).await;
        test.settle_order(order, OrderStatus::NeedsAttention).await;
        let operation = test.operations(Some(OperationStatus::NeedsAttention)).await.remove(0);
        assert!(operation.answer_lost, "the carrier may still carry it out");
        assert_eq!(test.activated().len(), 1);
        // The operator says what the word means, and a person has it tried again: it is found, and nothing is sent.
        test.reconfigure_wholesale(|account| account.settings.words.terminal = vec!["Success".to_owned()]);
        let caller = stock_keeper("default");
        let decided = decide_by_hand(
            &test.depot,
            &caller,
            operation.id,
            Verdict::Retry,
            "asked the operator".to_owned(),
            None,
        );
        decided.await.unwrap();
        test.settle_order(order, OrderStatus::Fulfilled).await;
        assert_eq!(test.twin.twin().received().len(), 1);
        assert_eq!(test.activated().len(), 1);
        test.finish().await;
    }

    /// The first sending may still be on its way: it is neither sent again nor taken back before that is over.
    async fn a_lost_activation_is_tried_again_only_when_it_has_settled(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.stock_up(1).await;
        test.fail_once(CallName::Activate, Fault::DropBeforeApply);
        let order = test.sell("settled", 1).await;
        test.work_round().await;
        let lost = test.operations(Some(OperationStatus::Unknown)).await.remove(0);
        let (caller, reason) = (stock_keeper("default"), "nothing of it in the portal".to_owned());
        decide_by_hand(&test.depot, &caller, lost.id, Verdict::Retry, reason, None).await.unwrap();
        let waiting = test.operation(lost.id).await;
        assert_eq!((waiting.status, waiting.answer_lost), (OperationStatus::Pending, true));
        assert!(waiting.run_at > lost.resolve_after.unwrap(), "{waiting:#?}");
        test.settle_order(order, OrderStatus::Fulfilled).await;
        assert_eq!(test.activated().len(), 1);
        test.finish().await;
    }

    async fn a_forged_failure_releases_no_sim(db: TestDatabase) {
        let mut test = TestDepot::start_wholesale(db).await;
        test.pace(|pace| pace.line_settle = TimeDelta::milliseconds(500));
        test.twin.twin().assumptions_mut().transaction_profile = TransactionProfile::SeedLiteral;
        test.twin.twin().assumptions_mut().completion_delay_ms = 600_000;
        test.stock_up(2).await;
        let order = test.sell_with("forged", json!({ "msisdn": "19459986891", "msisdn_reservation_id": "R1" })).await;
        let order = match order {
            Ok(order) => order,
            Err(error) => panic!("{error}"),
        };
        test.twin.twin().reserve("R1", Some("19459986891")).unwrap();
        test.work_round().await;
        let id = test.operations(None).await[0].id.to_string();
        let body = json!({
            "eventId": "e-9", "eventType": "ActivateSubscription", "eventTime": "2026-01-01T00:00:00Z",
            "partnerTransactionId": id, "status": "Failed", "reasonDesc": "no",
        });
        test.notify(&[SpsEvent {
            event_id: "e-9".to_owned(),
            event_type: "ActivateSubscription".to_owned(),
            transaction_id: Some(id),
            at: SystemClock.now(),
            deliver_at: None,
            body,
        }]).await;
        test.settle_order(order, OrderStatus::NeedsAttention).await;
        assert_eq!(test.operations(None).await.len(), 1, "no other profile was tried");
        test.finish().await;
    }

    /// Without its number a line may not even be readable; a SIM that nobody has is given none by hearsay.
    async fn a_number_that_is_told_fills_a_gap_of_a_line_in_use(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.twin.twin().assumptions_mut().completion_delay_ms = 600_000;
        let stock = test.stock_up(2).await;
        test.sell("told", 1).await;
        test.work_round().await;
        for (number, (iccid, gpsi)) in stock.iter().zip(["19459986891", "19459986892"]).enumerate() {
            assert_eq!(test.profile(iccid).await.msisdn, None);
            let (at, id) = (SystemClock.now(), format!("e-{number}"));
            let body = json!({
                "eventId": id, "eventType": "SubscriptionStatus", "eventTime": at.to_rfc3339(),
                "subscription": { "iccid": iccid, "gpsi": gpsi, "status": "Active" },
            });
            let event_type = "SubscriptionStatus".to_owned();
            test.notify(&[SpsEvent { event_id: id, event_type, transaction_id: None, at, deliver_at: None, body }]).await;
        }
        test.work_round().await;
        let (sold, spare) = (test.profile(&stock[0]).await, test.profile(&stock[1]).await);
        assert_eq!((sold.stock_status, spare.stock_status), (StockStatus::Allocated, StockStatus::Available));
        assert_eq!(sold.msisdn.map(|number| number.to_string()).as_deref(), Some("19459986891"));
        assert_eq!(spare.msisdn, None);
        test.finish_unsettled().await;
    }

    async fn a_replacement_gets_a_subscription_and_a_number_of_its_own(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.stock_up(2).await;
        test.twin.twin().reserve("R1", Some("19459986891")).unwrap();
        let parameters = json!({ "msisdn": "19459986891", "msisdn_reservation_id": "R1" });
        let order = test.sell_with("replaced", parameters).await.unwrap();
        let order = test.settle_order(order, OrderStatus::Fulfilled).await;
        let profile = profiles_of(&order).remove(0);
        assert_eq!(profile.msisdn.as_ref().map(simdepot_domain::msisdn::Msisdn::as_str), Some("19459986891"));
        let caller = storefront("default");
        let replaced = replacements::replace(
            &test.depot,
            &caller,
            profile.iccid.clone(),
            "broken".to_owned(),
            None,
        );
        replaced.await.unwrap();
        let order = test.settle_order(order.order.id, OrderStatus::Fulfilled).await;
        let by = profiles_of(&order).remove(0);
        assert_ne!(by.iccid, profile.iccid);
        assert_ne!(by.msisdn, profile.msisdn);
        assert_eq!((test.activations(&profile.iccid), test.activations(&by.iccid)), (1, 1));
        test.finish().await;
    }

    async fn an_activation_is_not_taken_from_a_pool_whose_stock_waits_for_codes(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let file = {
            let sims = test.twin.twin().add_sims(1);
            format!("ICCID;Status\r\n{};Available\r\n", sims[0].iccid)
        };
        test.import_delivery(file, 1).await;
        let change = || PoolChange { activation: Some(None), ..PoolChange::default() };
        let refused = pools::change(&test.depot, pool_settings().pool, change()).await.unwrap_err();
        assert!(matches!(refused, AppError::Invalid(_)), "{refused}");
        test.finish().await;
    }

    async fn the_number_of_the_delivery_gives_way_to_the_carrier_s(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let file = {
            let sims = test.twin.twin().add_sims(1);
            let code = sims[0].activation_code.as_ref().unwrap().code().to_owned();
            format!("ICCID;MSISDN;Status;ActivationCode\r\n{};14040000501;Available;{code}\r\n", sims[0].iccid)
        };
        test.import_delivery(file, 1).await;
        let order = test.sell("numbered", 1).await;
        let order = test.settle_order(order, OrderStatus::Fulfilled).await;
        let iccid = iccids(&order).remove(0);
        assert_eq!(test.profile(&iccid).await.msisdn.unwrap().as_str(), "14040000501");
        test.notify(&test.notifications()).await;
        let known = test.profile(&iccid).await.msisdn.unwrap();
        let twin = test.twin.twin().subscription_of_iccid(iccid.as_str()).unwrap().gpsi.clone();
        assert_eq!(known.as_str(), twin);
        test.finish().await;
    }

    async fn a_pool_of_such_a_carrier_says_what_is_activated(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let settings = PoolSettings {
            pool: PoolName::parse("bare").unwrap(),
            activation: None,
            ..<SpsTwin as TestCarrier>::pool()
        };
        let refused = pools::create(&test.depot, &stock_keeper("default"), settings, None).await.unwrap_err();
        let AppError::Invalid(problems) = refused else { panic!("{refused}") };
        assert_eq!((problems[0].pointer.as_str(), problems[0].code), ("/activation", "required"));
        test.finish().await;
    }

    async fn what_left_an_order_is_shown_as_it_left(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.stock_up(1).await;
        test.fail_once(CallName::Activate, Fault::RefuseTitle { status: 403, title: "no rights".to_owned() });
        let failed = test.sell("first", 1).await;
        test.settle_order(failed, OrderStatus::Failed).await;
        let order = test.sell("second", 1).await;
        test.settle_order(order, OrderStatus::Fulfilled).await;
        test.notify(&test.notifications()).await;
        let shown = test.read_order(failed).await;
        let profile = &shown.lines[0].profiles[0];
        assert_eq!(profile.outcome, ProfileOutcome::Failed);
        assert_eq!((&profile.profile.msisdn, profile.profile.sim.is_some()), (&None, false));
        assert!(profiles_of(&test.read_order(order).await)[0].msisdn.is_some());
        test.finish().await;
    }

    async fn the_code_comes_with_the_notification(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let (iccids, file) = {
            let mut twin = test.twin.twin();
            let sims = twin.add_sims(1);
            (vec![sims[0].iccid.clone()], format!("ICCID;Status\r\n{};Available\r\n", sims[0].iccid))
        };
        test.import_delivery(file, 1).await;
        assert_eq!(test.profile(&iccids[0]).await.stock_status, StockStatus::Available);
        let order = test.sell("coded", 1).await;
        test.work_round().await;
        test.carrier_time().await;
        let told = test.notifications();
        assert_eq!(told.len(), 1);
        test.notify(&[told[0].clone(), told[0].clone()]).await;
        test.settle_order(order, OrderStatus::Fulfilled).await;
        let profile = test.profile(&iccids[0]).await;
        assert!(profile.msisdn.is_some(), "the number came with it");
        let shown = activation::reveal(&test.depot, &storefront("default"), iccids[0].clone()).await;
        assert!(shown.is_ok(), "{shown:?}");
        test.finish().await;
    }

    async fn a_notification_alone_proves_nothing(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.stock_up(1).await;
        // A carrier whose status query always says the same, and whose lines cannot be read.
        test.twin.twin().assumptions_mut().transaction_profile = TransactionProfile::SeedLiteral;
        let order = test.sell("rumour", 1).await;
        test.work_round().await;
        let id = test.operations(None).await[0].id.to_string();
        let mut rumour = json!({
            "eventId": "e-1", "eventType": "ActivateSubscription", "eventTime": "2026-01-01T00:00:00Z",
            "partnerTransactionId": id, "status": "Completed",
        });
        let mut event = SpsEvent {
            event_id: "e-1".to_owned(),
            event_type: "ActivateSubscription".to_owned(),
            transaction_id: Some(id.clone()),
            at: SystemClock.now(),
            deliver_at: None,
            body: rumour.clone(),
        };
        test.notify(&[event.clone()]).await;
        test.work_round().await;
        assert_eq!(test.read_order(order).await.order.status, OrderStatus::InProgress);
        // With the number it can be read, and then it is true.
        test.carrier_time().await;
        let told = test.notifications();
        rumour = told[0].body.clone();
        event.body = rumour;
        test.notify(&[event]).await;
        test.settle_order(order, OrderStatus::Fulfilled).await;
        let operation = test.operations(None).await.remove(0);
        assert_eq!(operation.evidence.unwrap()["source"], "line");
        test.finish().await;
    }

    async fn a_carrier_that_checks_late_fails_late(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.twin.twin().assumptions_mut().state_check = StateCheck::Late;
        test.stock_up(2).await;
        let order = test.sell("late-check", 2).await;
        test.settle_order(order, OrderStatus::Fulfilled).await;
        assert_eq!(test.activated().len(), 2);
        test.finish().await;
    }

    async fn an_order_that_is_taken_back_sends_nothing_more(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let stock = test.stock_up(2).await;
        let order = test.sell("back", 2).await;
        let caller = storefront("default");
        let cancelled =
            cancellations::cancel(&test.depot, &caller, order, None, None, std::time::Duration::ZERO).await;
        cancelled.unwrap();
        test.settle().await;
        assert_eq!(test.read_order(order).await.order.status, OrderStatus::Cancelled);
        assert!(test.activated().is_empty());
        assert_eq!(test.twin.twin().received().len(), 0);
        for iccid in stock {
            assert_eq!(test.profile(&iccid).await.stock_status, StockStatus::Available);
        }
        test.finish().await;
    }

    async fn what_an_order_says_is_checked_by_the_carrier_s_adapter(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.stock_up(2).await;
        let wrong = test.sell_with("bad", json!({ "imei": "123", "plan": 1 })).await.unwrap_err();
        let AppError::Invalid(problems) = wrong else { panic!("{wrong}") };
        let places: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.code)).collect();
        assert_eq!(places, [
            ("/lines/0/carrier_parameters/plan", "unknown"),
            ("/lines/0/carrier_parameters/imei", "wrong-length"),
        ]);
        let product = test.place(order_of("product", 1, Some("P"))).await.unwrap_err();
        assert!(matches!(product, AppError::Unsupported { .. }), "{product}");
        let order = test.sell_with("full", json!({
            "subscriber_id": "Sub001", "imei": "353490069873319", "products": [{ "id": "x" }],
            "eid": "89049032020008884800228685583432",
        })).await.unwrap();
        let order = test.settle_order(order, OrderStatus::Fulfilled).await;
        assert_eq!(order.lines[0].profiles[0].outcome, ProfileOutcome::Fulfilled);
        let sent = test.twin.twin().received()[0].body.clone();
        assert_eq!((&sent["subscriberId"], &sent["pei"]), (&json!("Sub001"), &json!("353490069873319")));
        test.finish().await;
    }
}
