//! Operations: leases, guarded steps, and one open operation per profile.

use chrono::TimeDelta;
use serde_json::json;
use simdepot_domain::bundle::OrderType;
use simdepot_domain::operation::{Lane, OperationStatus};
use simdepot_persistence::operations::{self, Lease, NewOperation, Operation, OperationChange};
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::{Store, StoreError};
use simdepot_tests::on_both_databases;
use uuid::Uuid;

use crate::support::{Stock, account, is_race, is_unique, new_operation, now, uuid};

async fn insert(store: &Store, new: Vec<NewOperation>) -> Result<(), StoreError> {
    store.write(move |conn| operations::insert_many(conn, &new, now())).await
}

async fn lease(store: &Store, token: Uuid, length: TimeDelta) -> Option<Lease> {
    let leased = store.write(move |conn| {
        let now = conn.now()?;
        operations::lease_next(conn, &account(), token, now, now + length)
    });
    leased.await.unwrap()
}

async fn change(
    store: &Store,
    operation: &Operation,
    token: Option<Uuid>,
    change: OperationChange,
) -> Result<i64, StoreError> {
    let operation = operation.clone();
    store
        .write(move |conn| {
            let now = conn.now()?;
            operations::change(conn, &operation, token, &change, now)
        })
        .await
}

async fn read(store: &Store, operation: &Operation) -> Operation {
    let id = operation.id;
    store.read(move |conn| operations::find(conn, id)).await.unwrap().unwrap()
}

async fn one(db: simdepot_tests::TestDatabase) -> (Stock, Profile, Operation) {
    let (stock, profiles) = Stock::of(db, 1).await;
    let new = new_operation(&profiles[0]);
    let id = new.id;
    insert(&stock.store, vec![new]).await.unwrap();
    let operation = stock.store.read(move |conn| operations::find(conn, id)).await.unwrap().unwrap();
    (stock, profiles.into_iter().next().unwrap(), operation)
}

fn sent() -> OperationChange {
    let moment = now();
    OperationChange {
        sent: true,
        order_type: Some(OrderType::Preload),
        sent_at: Some((moment, moment + TimeDelta::seconds(20))),
        before_set: Some(vec!["sub-1".to_owned()]),
        keep_lease: true,
        ..OperationChange::to(OperationStatus::Sent)
    }
}

const MINUTE: TimeDelta = TimeDelta::minutes(1);

on_both_databases! {
    async fn a_new_operation_waits(db: TestDatabase) {
        let (_stock, profile, operation) = one(db).await;
        assert_eq!((operation.status, operation.profile_id), (OperationStatus::Pending, profile.id));
        assert_eq!((operation.attempts, operation.deferrals, operation.version), (0, 0, 1));
        assert_eq!((operation.sent_at, operation.before_set, operation.problem), (None, None, None));
    }

    async fn a_profile_has_one_open_operation(db: TestDatabase) {
        let (stock, profile, first) = one(db).await;
        assert!(is_unique(&insert(&stock.store, vec![new_operation(&profile)]).await));
        for status in [OperationStatus::Sent, OperationStatus::Unknown, OperationStatus::NeedsAttention] {
            let current = read(&stock.store, &first).await;
            let step = OperationChange { status, ..sent() };
            change(&stock.store, &current, None, step).await.unwrap();
            assert!(is_unique(&insert(&stock.store, vec![new_operation(&profile)]).await), "{status}");
        }
        let current = read(&stock.store, &first).await;
        change(&stock.store, &current, None, OperationChange::to(OperationStatus::Refused)).await.unwrap();
        insert(&stock.store, vec![new_operation(&profile)]).await.unwrap();
    }

    async fn one_of_many_gets_each_operation(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 30).await;
        insert(&stock.store, profiles.iter().map(new_operation).collect()).await.unwrap();
        let workers: Vec<_> = (0..12)
            .map(|_| {
                let store = stock.store.clone();
                tokio::spawn(async move {
                    let mut leased = Vec::new();
                    while let Some(lease) = lease(&store, uuid(), MINUTE).await {
                        leased.push(lease.operation.id);
                    }
                    leased
                })
            })
            .collect();
        let mut leased = Vec::new();
        for worker in workers {
            leased.extend(worker.await.unwrap());
        }
        let distinct: std::collections::BTreeSet<_> = leased.iter().copied().collect();
        // On PostgreSQL a worker that meets only locked rows goes home early: what it left is there for the next.
        let rest = lease(&stock.store, uuid(), MINUTE).await;
        assert_eq!(leased.len() + usize::from(rest.is_some()), distinct.len() + usize::from(rest.is_some()));
        assert!(leased.len() + usize::from(rest.is_some()) == 30 || rest.is_some(), "{}", leased.len());
        let tokens = stock.db.raw().number(
            "SELECT COUNT(DISTINCT lease_token) AS value FROM operations WHERE lease_token IS NOT NULL",
        );
        assert_eq!(tokens, i64::try_from(distinct.len() + usize::from(rest.is_some())).unwrap());
    }

    async fn a_lease_runs_out_by_the_databases_clock(db: TestDatabase) {
        let (stock, _, operation) = one(db).await;
        let (first, second) = (uuid(), uuid());
        let leased = lease(&stock.store, first, TimeDelta::milliseconds(300)).await.unwrap();
        assert_eq!((leased.operation.id, leased.token), (operation.id, first));
        assert!(lease(&stock.store, second, MINUTE).await.is_none());
        let due = |store: Store| async move {
            store
                .read(|conn| {
                    let now = conn.now()?;
                    Ok::<_, StoreError>(!operations::due_accounts(conn, Lane::Sale, now)?.is_empty())
                })
                .await
                .unwrap()
        };
        assert!(!due(stock.store.clone()).await);
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        assert!(due(stock.store.clone()).await);
        let taken_over = lease(&stock.store, second, MINUTE).await.unwrap();
        assert_eq!(taken_over.operation.version, leased.operation.version, "a lease is no event");
        // The first worker wakes up: what it knew is still true, but the operation is not its own any more.
        let late = change(&stock.store, &leased.operation, Some(first), sent()).await;
        assert!(is_race(&late), "{late:?}");
        change(&stock.store, &taken_over.operation, Some(second), sent()).await.unwrap();
    }

    async fn a_change_needs_status_version_and_token(db: TestDatabase) {
        let (stock, _, operation) = one(db).await;
        let token = uuid();
        let leased = lease(&stock.store, token, MINUTE).await.unwrap().operation;
        assert!(is_race(&change(&stock.store, &leased, Some(uuid()), sent()).await));
        let stale = Operation { version: leased.version - 1, ..leased.clone() };
        assert!(is_race(&change(&stock.store, &stale, Some(token), sent()).await));
        let elsewhere = Operation { status: OperationStatus::Sent, ..leased.clone() };
        assert!(is_race(&change(&stock.store, &elsewhere, Some(token), sent()).await));
        assert_eq!(read(&stock.store, &operation).await, operation);
        assert_eq!(change(&stock.store, &leased, Some(token), sent()).await.unwrap(), 2);
        // The same step again: somebody was faster.
        assert!(is_race(&change(&stock.store, &leased, Some(token), sent()).await));
    }

    async fn steps_are_kept(db: TestDatabase) {
        let (stock, _, operation) = one(db).await;
        let token = uuid();
        let leased = lease(&stock.store, token, MINUTE).await.unwrap().operation;
        let step = sent();
        change(&stock.store, &leased, Some(token), step.clone()).await.unwrap();
        let current = read(&stock.store, &operation).await;
        assert_eq!((current.status, current.attempts, current.version), (OperationStatus::Sent, 1, 2));
        assert_eq!(current.order_type, Some(OrderType::Preload));
        assert_eq!(
            (current.sent_at, current.resolve_after),
            step.sent_at.map(|(a, b)| (Some(a), Some(b))).unwrap()
        );
        assert_eq!(current.before_set.as_deref(), Some(&["sub-1".to_owned()][..]));
        // Its lease goes on until the outcome, which ends it.
        let outcome = OperationChange {
            evidence: Some(json!({"receipt": {}})),
            carrier_reference: Some("order-9".to_owned()),
            ..OperationChange::to(OperationStatus::Done)
        };
        change(&stock.store, &current, Some(token), outcome).await.unwrap();
        let done = read(&stock.store, &operation).await;
        assert_eq!((done.status, done.version), (OperationStatus::Done, 3));
        assert_eq!(
            (done.carrier_reference.as_deref(), done.evidence),
            (Some("order-9"), Some(json!({"receipt": {}})))
        );
        // What a step does not name stays.
        assert_eq!(
            (done.attempts, done.sent_at, done.order_type),
            (1, current.sent_at, Some(OrderType::Preload))
        );
        let leases =
            stock.db.raw().number("SELECT COUNT(*) AS value FROM operations WHERE lease_token IS NOT NULL");
        assert_eq!(leases, 0);
        assert!(lease(&stock.store, uuid(), MINUTE).await.is_none());
    }

    async fn a_deferred_operation_is_not_due_before_its_time(db: TestDatabase) {
        let (stock, _, operation) = one(db).await;
        let token = uuid();
        let leased = lease(&stock.store, token, MINUTE).await.unwrap().operation;
        let deferred_to = Some(now() + TimeDelta::milliseconds(500));
        let put_off = OperationChange { deferred_to, ..OperationChange::to(OperationStatus::Pending) };
        change(&stock.store, &leased, Some(token), put_off).await.unwrap();
        let waiting = read(&stock.store, &operation).await;
        assert_eq!((waiting.deferrals, Some(waiting.run_at)), (1, deferred_to));
        assert!(lease(&stock.store, uuid(), MINUTE).await.is_none());
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        assert_eq!(lease(&stock.store, uuid(), MINUTE).await.unwrap().operation.id, operation.id);
    }

    /// The database itself refuses a sent operation that does not say when it was sent.
    async fn a_sent_operation_says_when(db: TestDatabase) {
        let (stock, _, operation) = one(db).await;
        let step = OperationChange::to(OperationStatus::Sent);
        let refused = change(&stock.store, &operation, None, step).await.unwrap_err();
        assert!(matches!(refused, StoreError::Database(_)), "{refused}");
    }

    async fn overdue_are_the_sent_ones_past_their_time(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 4).await;
        insert(&stock.store, profiles.iter().map(new_operation).collect()).await.unwrap();
        let all = stock.store.read(|conn| operations::list(conn, None, None, None, 10)).await.unwrap().operations;
        let start = now();
        let at = |seconds| Some((start, start + TimeDelta::seconds(seconds)));
        for (operation, resolve) in all.iter().zip([30, 10, 60]) {
            change(&stock.store, operation, None, OperationChange { sent_at: at(resolve), ..sent() })
                .await
                .unwrap();
        }
        let found = |seconds, limit| {
            let store = stock.store.clone();
            async move {
                let moment = start + TimeDelta::seconds(seconds);
                store.read(move |conn| operations::overdue(conn, Lane::Sale, moment, 0, limit)).await.unwrap()
            }
        };
        assert_eq!(found(9, 10).await, []);
        assert_eq!(found(30, 10).await, [all[1].id, all[0].id]);
        assert_eq!(found(90, 1).await, [all[1].id]);
        let moment = start + TimeDelta::seconds(90);
        let passed = stock.store.read(move |conn| operations::overdue(conn, Lane::Sale, moment, 1, 1)).await.unwrap();
        assert_eq!(passed, [all[0].id]);
        let current = read(&stock.store, &all[1]).await;
        change(&stock.store, &current, None, OperationChange::to(OperationStatus::Unknown)).await.unwrap();
        assert_eq!(found(90, 10).await, [all[0].id, all[2].id]);
        let mut counts = stock.store.read(operations::open_counts).await.unwrap();
        counts.sort_by_key(|(status, _)| status.to_string());
        use OperationStatus as S;
        assert_eq!(counts, [(S::Pending, 1), (S::Sent, 2), (S::Unknown, 1)]);
    }

    async fn lists_are_filtered_and_paged_newest_first(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 5).await;
        let new: Vec<NewOperation> = profiles.iter().map(new_operation).collect();
        let mut ids: Vec<_> = new.iter().map(|operation| operation.id).collect();
        ids.reverse();
        insert(&stock.store, new).await.unwrap();
        let list = |status, before, limit| {
            let store = stock.store.clone();
            async move {
                let page =
                    store.read(move |conn| operations::list(conn, None, status, before, limit)).await.unwrap().operations;
                page.into_iter().map(|operation| operation.id).collect::<Vec<_>>()
            }
        };
        assert_eq!(list(None, None, 2).await, ids[..2]);
        assert_eq!(list(None, Some(ids[1]), 10).await, ids[2..]);
        assert_eq!(list(Some(OperationStatus::Done), None, 10).await, vec![]);
        assert_eq!(list(Some(OperationStatus::Pending), Some(ids[3]), 10).await, ids[4..]);
    }
}
