//! Holds: reserved, extended, given back, swept away, turned into orders.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_application::AppError;
use simdepot_application::holds::{self, HoldView, NewHold};
use simdepot_application::orders::{self, PlaceOrder, PlacedAs};
use simdepot_application::pools::{self, PoolChange};
use simdepot_application::profiles::{self, EditProfile, Move};
use simdepot_domain::channel::PoolName;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::event::{Fact, Subject, SubjectKind};
use simdepot_domain::hold::HoldStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::HoldId;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::events;
use simdepot_persistence::holds::{self as stored, HoldChange};
use simdepot_tests::depot::{
    PRODUCT, idempotency_key, order_of, pool_settings, profiles_of, stock_keeper, storefront,
};
use simdepot_tests::{TestDepot, on_both_databases};

fn asked(quantity: u32, ttl_seconds: u32) -> NewHold {
    NewHold { pool: pool_settings().pool, quantity, ttl_seconds }
}

/// Reserves profiles for the channel `default`, for ten minutes.
pub(crate) async fn hold(test: &TestDepot, quantity: u32) -> HoldId {
    let (made, replayed) =
        holds::create(&test.depot, &storefront("default"), asked(quantity, 600), None).await.unwrap();
    assert_eq!((made.hold.status, replayed), (HoldStatus::Active, false));
    made.hold.id
}

/// An order of bare profiles out of a hold.
pub(crate) fn order_out_of(hold: HoldId, reference: &str, quantity: u32) -> PlaceOrder {
    PlaceOrder { hold: Some(hold), ..order_of(reference, quantity, None) }
}

pub(crate) async fn read(test: &TestDepot, id: HoldId) -> HoldView {
    holds::get(&test.depot, &storefront("default"), id).await.unwrap()
}

async fn status(test: &TestDepot, id: HoldId) -> HoldStatus {
    read(test, id).await.hold.status
}

async fn available(test: &TestDepot) -> u64 {
    pools::availability(&test.depot, pool_settings().pool).await.unwrap()
}

/// Moves the deadlines of all active holds, the oldest first, to `at` of their place in that order. PostgreSQL's clock
/// cannot be set, and a deadline that no event tells of would be found by `verify`.
pub(crate) async fn set_deadlines(test: &TestDepot, at: impl Fn(i32) -> DateTime<Utc>) {
    let (mut active, mut after) = (Vec::new(), None);
    loop {
        let listed = holds::list(&test.depot, &storefront("default"), after, 200).await.unwrap();
        let Some(last) = listed.last() else { break };
        after = Some(last.hold.id);
        active.extend(listed.into_iter().filter(|view| view.hold.status == HoldStatus::Active));
    }
    let depot = test.depot.clone();
    let moved: Vec<_> = active.iter().rev().zip(0..).map(|(view, place)| (view.hold.id, at(place))).collect();
    let write = test.depot.store.write(move |conn| {
        for (id, expires_at) in moved {
            let hold = stored::lock(conn, id)?.unwrap();
            let version = stored::change(conn, &hold, HoldChange::Deadline(expires_at), depot.now())?;
            let fact = Fact::HoldExtended { expires_at };
            events::append(conn, &[depot.event(depot.now(), Subject::Hold(id), version, fact)])?;
        }
        Ok::<_, AppError>(())
    });
    write.await.unwrap();
}

/// Lets the deadlines of all active holds pass.
pub(crate) async fn let_deadlines_pass(test: &TestDepot) {
    let passed = test.depot.store.now().await.unwrap() - TimeDelta::milliseconds(1);
    set_deadlines(test, |_| passed).await;
}

async fn move_by_hand(test: &TestDepot, iccid: &Iccid, asked: Move) {
    let (caller, reason) = (stock_keeper("default"), "looked at".to_owned());
    profiles::command(&test.depot, &caller, iccid.clone(), asked, reason, None).await.unwrap();
}

async fn facts_of(test: &TestDepot, kind: SubjectKind, id: String) -> Vec<Fact> {
    let story = test.depot.store.read(move |conn| events::of_subject(conn, kind, &id)).await.unwrap();
    story.into_iter().map(|event| event.fact).collect()
}

on_both_databases! {
    async fn a_hold_keeps_profiles_from_everybody_else(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(3).await;
        let before = SystemClock.now();
        let (made, _) =
            holds::create(&test.depot, &storefront("default"), asked(2, 900), None).await.unwrap();
        let until = made.hold.expires_at - before;
        assert!(until >= TimeDelta::seconds(899) && until < TimeDelta::seconds(960), "{until}");
        assert_eq!((made.hold.quantity, made.pool), (2, pool_settings().pool));
        assert_eq!(available(&test).await, 1);
        let held = test.profile(&lines[0].iccid).await;
        assert_eq!((held.stock_status, held.hold), (StockStatus::Held, Some(made.hold.id)));
        let refused = test.order("ref-1", 2).await.unwrap_err();
        assert!(matches!(refused, AppError::OutOfStock { requested: 2, available: 1, .. }), "{refused:?}");
        let refused = holds::create(&test.depot, &storefront("other"), asked(2, 900), None).await.unwrap_err();
        assert!(matches!(refused, AppError::OutOfStock { requested: 2, available: 1, .. }), "{refused:?}");
        let sold = profiles_of(&test.order("ref-1", 1).await.unwrap().order);
        assert_eq!(sold[0].iccid, lines[2].iccid);
        // The buffer stays in the pool whoever asks.
        test.deliver(3).await;
        let change = PoolChange { safety_buffer: Some(2), ..PoolChange::default() };
        pools::change(&test.depot, pool_settings().pool, change).await.unwrap();
        let refused = holds::create(&test.depot, &storefront("other"), asked(2, 900), None).await.unwrap_err();
        assert!(matches!(refused, AppError::OutOfStock { requested: 2, available: 1, .. }), "{refused:?}");
        test.finish().await;
    }

    async fn a_hold_becomes_an_order(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(5).await;
        let id = hold(&test, 4).await;
        let placed = test.place(order_out_of(id, "ref-1", 3)).await.unwrap();
        assert_eq!(
            (placed.placed_as, placed.order.order.status),
            (PlacedAs::Created, OrderStatus::Fulfilled)
        );
        let entries = &placed.order.lines[0].profiles;
        for (entry, line) in entries.iter().zip(&lines) {
            assert_eq!((&entry.profile.iccid, &entry.activation), (&line.iccid, &line.activation_code));
            assert_eq!((entry.profile.stock_status, entry.profile.hold), (StockStatus::Allocated, None));
        }
        let seen = read(&test, id).await.hold;
        assert_eq!((seen.status, seen.order), (HoldStatus::Converted, Some(placed.order.order.id)));
        // What the order did not need is on sale again.
        assert_eq!(available(&test).await, 2);
        let told = facts_of(&test, SubjectKind::Hold, id.to_string()).await;
        let order = Some(placed.order.order.id);
        assert_eq!(told.len(), 2);
        assert_eq!(told[1], Fact::HoldEnded { status: HoldStatus::Converted, order });
        let told = facts_of(&test, SubjectKind::Profile, lines[0].iccid.to_string()).await;
        let moves: Vec<_> = told
            .iter()
            .filter_map(|fact| match fact {
                Fact::StockMoved { from, to, order, hold, .. } => Some((*from, *to, *order, *hold)),
                _ => None,
            })
            .collect();
        assert_eq!(
            moves,
            [
                (StockStatus::Available, StockStatus::Held, None, Some(id)),
                (StockStatus::Held, StockStatus::Allocated, order, Some(id)),
            ]
        );
        test.finish().await;
    }

    async fn a_hold_becomes_an_order_with_a_product(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(3).await;
        let id = hold(&test, 2).await;
        let mut asked = PlaceOrder { hold: Some(id), ..order_of("ref-1", 1, Some(PRODUCT)) };
        asked.lines.push(order_of("ref-1", 1, None).lines.remove(0));
        let placed = test.place(asked).await.unwrap().order;
        assert_eq!(placed.order.status, OrderStatus::InProgress);
        assert_eq!(status(&test, id).await, HoldStatus::Converted);
        test.work_until_idle().await;
        let order = test.read_order(placed.order.id).await;
        assert_eq!(order.order.status, OrderStatus::Fulfilled);
        let sold: Vec<Iccid> = profiles_of(&order).into_iter().map(|profile| profile.iccid).collect();
        assert_eq!(sold, [lines[0].iccid.clone(), lines[1].iccid.clone()]);
        let sent = test.carrier_orders();
        assert_eq!((sent.len(), sent[0].msisdn.as_str()), (1, lines[0].msisdn()));
        test.finish().await;
    }

    async fn the_same_order_again_is_a_repeat(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(6).await;
        let (id, other) = (hold(&test, 2).await, hold(&test, 2).await);
        let first = test.place(order_out_of(id, "ref-1", 2)).await.unwrap().order.order.id;
        for _ in 0..2 {
            let again = test.place(order_out_of(id, "ref-1", 2)).await.unwrap();
            assert_eq!((again.placed_as, again.order.order.id), (PlacedAs::Repeated, first));
        }
        for different in [
            order_out_of(id, "ref-1", 1),
            order_out_of(other, "ref-1", 2),
            order_of("ref-1", 2, None),
        ] {
            let refused = test.place(different).await.unwrap_err();
            assert!(matches!(refused, AppError::ReferenceConflict { .. }), "{refused:?}");
        }
        assert_eq!(status(&test, other).await, HoldStatus::Active);
        // And a hold cannot come in later.
        test.order("ref-2", 2).await.unwrap();
        let refused = test.place(order_out_of(other, "ref-2", 2)).await.unwrap_err();
        assert!(matches!(refused, AppError::ReferenceConflict { .. }), "{refused:?}");
        // It has become one order and becomes no other.
        let refused = test.place(order_out_of(id, "ref-3", 1)).await.unwrap_err();
        assert!(
            matches!(&refused, AppError::InvalidTransition { from, command, .. }
                if from == "converted" && command == "convert"),
            "{refused:?}"
        );
        assert_eq!(available(&test).await, 0);
        test.finish().await;
    }

    async fn a_hold_bounds_its_order(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let mut second = pool_settings();
        second.pool = PoolName::parse("second").unwrap();
        pools::create(&test.depot, &stock_keeper("default"), second, None).await.unwrap();
        test.deliver(5).await;
        let id = hold(&test, 2).await;
        let mut asked = order_out_of(id, "ref-1", 2);
        asked.lines.push(asked.lines[0].clone());
        asked.lines[1].pool = PoolName::parse("second").unwrap();
        asked.lines.push(order_of("ref-1", 1, None).lines.remove(0));
        let Err(AppError::Invalid(errors)) = test.place(asked).await else {
            panic!("it was taken");
        };
        let named: Vec<_> = errors.iter().map(|error| (error.pointer.as_str(), error.code)).collect();
        assert_eq!(named, [("/lines/1/pool", "hold"), ("/lines/2/quantity", "hold")]);
        let unknown = test.place(order_out_of(HoldId(uuid::Uuid::nil()), "ref-1", 1)).await.unwrap_err();
        assert!(matches!(unknown, AppError::NotFound { what: "hold" }), "{unknown:?}");
        // Another channel's hold is not there.
        let other = storefront("other");
        let foreign =
            orders::place(&test.depot, &other, order_out_of(id, "ref-1", 1), None, Duration::ZERO).await;
        assert!(matches!(foreign, Err(AppError::NotFound { what: "hold" })), "{foreign:?}");
        assert!(matches!(holds::get(&test.depot, &other, id).await, Err(AppError::NotFound { .. })));
        assert!(matches!(holds::extend(&test.depot, &other, id, 60).await, Err(AppError::NotFound { .. })));
        assert!(matches!(holds::release(&test.depot, &other, id).await, Err(AppError::NotFound { .. })));
        assert!(holds::list(&test.depot, &other, None, 10).await.unwrap().is_empty());
        assert_eq!(status(&test, id).await, HoldStatus::Active);
        test.place(order_out_of(id, "ref-1", 2)).await.unwrap();
        test.finish().await;
    }

    async fn a_dry_run_leaves_the_hold(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(3).await;
        let id = hold(&test, 3).await;
        let dry = PlaceOrder { dry_run: true, ..order_out_of(id, "ref-1", 2) };
        let tried = test.place(dry).await.unwrap();
        assert_eq!((tried.placed_as, tried.order.lines[0].profiles.len()), (PlacedAs::DryRun, 2));
        assert_eq!((status(&test, id).await, available(&test).await), (HoldStatus::Active, 0));
        assert_eq!(test.place(order_out_of(id, "ref-1", 2)).await.unwrap().placed_as, PlacedAs::Created);
        test.finish().await;
    }

    async fn a_deadline_is_one_before_it_is_swept(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        let id = hold(&test, 2).await;
        assert!(!holds::step(&test.depot).await.unwrap(), "nothing is due");
        let_deadlines_pass(&test).await;
        assert_eq!(status(&test, id).await, HoldStatus::Expired);
        let over = |refused: AppError| {
            let fits = matches!(&refused, AppError::HoldExpired { hold, status: HoldStatus::Expired } if *hold == id);
            assert!(fits, "{refused:?}");
        };
        over(test.place(order_out_of(id, "ref-1", 1)).await.unwrap_err());
        over(holds::extend(&test.depot, &storefront("default"), id, 600).await.unwrap_err());
        assert_eq!(available(&test).await, 0);

        // Another process sweeps: nothing in memory is needed.
        let survivor = test.restarted();
        assert!(holds::step(&survivor).await.unwrap());
        assert!(!holds::step(&survivor).await.unwrap());
        assert_eq!((status(&test, id).await, available(&test).await), (HoldStatus::Expired, 2));
        over(test.place(order_out_of(id, "ref-1", 1)).await.unwrap_err());
        let told = facts_of(&test, SubjectKind::Hold, id.to_string()).await;
        assert_eq!(told.last(), Some(&Fact::HoldEnded { status: HoldStatus::Expired, order: None }));
        let back = test.profile(&lines[0].iccid).await;
        assert_eq!((back.stock_status, back.hold, back.version), (StockStatus::Available, None, 2));
        // The reference is free: what was refused has not used it up.
        assert_eq!(test.order("ref-1", 2).await.unwrap().placed_as, PlacedAs::Created);
        test.finish().await;
    }

    /// By the clock itself, without anything being moved by hand.
    async fn a_hold_of_a_second_lasts_a_second(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        let caller = storefront("default");
        let (made, _) = holds::create(&test.depot, &caller, asked(1, 1), None).await.unwrap();
        let begun = tokio::time::Instant::now();
        while !holds::step(&test.depot).await.unwrap() {
            assert_eq!(available(&test).await, 0);
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not expire");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let now = test.depot.store.now().await.unwrap();
        assert!(now >= made.hold.expires_at, "{now} {}", made.hold.expires_at);
        assert_eq!((status(&test, made.hold.id).await, available(&test).await), (HoldStatus::Expired, 1));
        test.finish().await;
    }

    async fn a_hold_is_extended_while_it_stands(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(2).await;
        let id = hold(&test, 2).await;
        let caller = storefront("default");
        let before = read(&test, id).await.hold.expires_at;
        let extended = holds::extend(&test.depot, &caller, id, 3600).await.unwrap().hold;
        assert!(extended.expires_at > before + TimeDelta::seconds(2900));
        assert_eq!(read(&test, id).await.hold, extended);
        let shortened = holds::extend(&test.depot, &caller, id, 60).await.unwrap().hold;
        assert!(shortened.expires_at < before);
        for wrong in [0, 604_801] {
            let refused = holds::extend(&test.depot, &caller, id, wrong).await.unwrap_err();
            assert!(matches!(refused, AppError::Invalid(_)), "{refused:?}");
        }
        test.place(order_out_of(id, "ref-1", 1)).await.unwrap();
        let refused = holds::extend(&test.depot, &caller, id, 60).await.unwrap_err();
        assert!(
            matches!(&refused, AppError::InvalidTransition { from, .. } if from == "converted"),
            "{refused:?}"
        );
        let told = facts_of(&test, SubjectKind::Hold, id.to_string()).await;
        assert_eq!(told.iter().filter(|fact| matches!(fact, Fact::HoldExtended { .. })).count(), 2);
        test.finish().await;
    }

    async fn a_hold_is_given_back(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(4).await;
        let caller = storefront("default");
        let (first, late, sold) = (hold(&test, 1).await, hold(&test, 1).await, hold(&test, 2).await);
        test.place(order_out_of(sold, "ref-1", 2)).await.unwrap();
        for _ in 0..2 {
            let released = holds::release(&test.depot, &caller, first).await.unwrap().hold;
            assert_eq!((released.status, released.version), (HoldStatus::Released, 2));
            assert_eq!(available(&test).await, 1);
        }
        let refused = test.place(order_out_of(first, "ref-2", 1)).await.unwrap_err();
        assert!(
            matches!(refused, AppError::HoldExpired { status: HoldStatus::Released, .. }),
            "{refused:?}"
        );
        let refused = holds::release(&test.depot, &caller, sold).await.unwrap_err();
        assert!(
            matches!(&refused, AppError::InvalidTransition { from, command, .. }
                if from == "converted" && command == "release"),
            "{refused:?}"
        );
        // Given back after its deadline, it has expired; its profiles are on sale at once all the same.
        let_deadlines_pass(&test).await;
        for _ in 0..2 {
            let released = holds::release(&test.depot, &caller, late).await.unwrap().hold;
            // Made, moved, ended.
            assert_eq!((released.status, released.version), (HoldStatus::Expired, 3));
            assert_eq!(available(&test).await, 2);
        }
        assert!(!holds::step(&test.depot).await.unwrap());
        test.finish().await;
    }

    async fn what_was_taken_aside_comes_from_the_pool(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(3).await;
        let id = hold(&test, 2).await;
        move_by_hand(&test, &lines[0].iccid, Move::Quarantine).await;
        let aside = test.profile(&lines[0].iccid).await;
        assert_eq!((aside.stock_status, aside.hold), (StockStatus::Quarantined, None));
        let told = facts_of(&test, SubjectKind::Profile, lines[0].iccid.to_string()).await;
        assert!(matches!(told.last(), Some(Fact::StockMoved { hold: Some(from), .. }) if *from == id));
        let sold = profiles_of(&test.place(order_out_of(id, "ref-1", 2)).await.unwrap().order);
        let sold: Vec<Iccid> = sold.into_iter().map(|profile| profile.iccid).collect();
        assert_eq!(sold, [lines[1].iccid.clone(), lines[2].iccid.clone()]);
        assert_eq!(status(&test, id).await, HoldStatus::Converted);
        test.finish().await;
    }

    async fn what_was_taken_aside_is_missing_when_the_pool_is_empty(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(3).await;
        let id = hold(&test, 3).await;
        move_by_hand(&test, &lines[0].iccid, Move::Retire).await;
        // One may no longer be sold by now.
        let past = EditProfile { sell_by: Some(SystemClock.now()), ..EditProfile::default() };
        profiles::edit(&test.depot, lines[1].iccid.clone(), past).await.unwrap();
        let refused = test.place(order_out_of(id, "ref-1", 2)).await.unwrap_err();
        assert!(matches!(refused, AppError::OutOfStock { requested: 2, available: 1, .. }), "{refused:?}");
        assert_eq!(status(&test, id).await, HoldStatus::Active, "nothing was taken");
        assert_eq!(test.profile(&lines[2].iccid).await.stock_status, StockStatus::Held);
        let sold = profiles_of(&test.place(order_out_of(id, "ref-1", 1)).await.unwrap().order);
        assert_eq!(sold[0].iccid, lines[2].iccid);
        let back = test.profile(&lines[1].iccid).await;
        assert_eq!((back.stock_status, available(&test).await), (StockStatus::Available, 0));
        test.finish().await;
    }

    async fn a_hold_without_profiles_ends_too(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(1).await;
        let id = hold(&test, 1).await;
        move_by_hand(&test, &lines[0].iccid, Move::Quarantine).await;
        move_by_hand(&test, &lines[0].iccid, Move::Release).await;
        // It is free now, and the hold takes it again when it becomes an order.
        assert_eq!(available(&test).await, 1);
        test.place(order_out_of(id, "ref-1", 1)).await.unwrap();
        let more = test.deliver(1).await;
        let id = hold(&test, 1).await;
        move_by_hand(&test, &more[0].iccid, Move::Retire).await;
        let_deadlines_pass(&test).await;
        assert!(holds::step(&test.depot).await.unwrap());
        assert_eq!(status(&test, id).await, HoldStatus::Expired);
        test.finish().await;
    }

    async fn a_request_with_a_key_makes_one_hold(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(20).await;
        let caller = storefront("default");
        let requests: Vec<_> = (0..8)
            .map(|_| {
                let (depot, caller) = (test.depot.clone(), caller.clone());
                tokio::spawn(async move {
                    let key = idempotency_key("key-1", "body");
                    holds::create(&depot, &caller, asked(2, 600), Some(&key)).await.unwrap()
                })
            })
            .collect();
        let (mut ids, mut made) = (Vec::new(), 0);
        for request in requests {
            let (view, replayed) = request.await.unwrap();
            ids.push(view.hold.id);
            made += usize::from(!replayed);
        }
        ids.dedup();
        assert_eq!((ids.len(), made, available(&test).await), (1, 1, 18));
        let key = idempotency_key("key-1", "another body");
        let reused = holds::create(&test.depot, &caller, asked(2, 600), Some(&key)).await.unwrap_err();
        assert!(matches!(reused, AppError::IdempotencyKeyReused), "{reused:?}");
        // What failed has not used its key up.
        let key = idempotency_key("key-2", "many");
        let sold_out = holds::create(&test.depot, &caller, asked(100, 600), Some(&key)).await.unwrap_err();
        assert!(matches!(sold_out, AppError::OutOfStock { .. }), "{sold_out:?}");
        test.deliver(82).await;
        assert!(!holds::create(&test.depot, &caller, asked(100, 600), Some(&key)).await.unwrap().1);
        test.finish().await;
    }

    async fn what_a_hold_refuses(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        let caller = storefront("default");
        for (wrong, fields) in [
            (asked(0, 60), vec!["/quantity"]),
            (asked(1001, 0), vec!["/ttl_seconds", "/quantity"]),
            (asked(1, 604_801), vec!["/ttl_seconds"]),
            (NewHold { pool: PoolName::parse("none").unwrap(), ..asked(1, 60) }, vec!["/pool"]),
        ] {
            let Err(AppError::Invalid(errors)) = holds::create(&test.depot, &caller, wrong, None).await else {
                panic!("it was made");
            };
            let named: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
            assert_eq!(named, fields);
        }
        assert_eq!(available(&test).await, 1);
        test.finish().await;
    }
}
