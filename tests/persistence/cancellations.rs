//! Orders that are being taken back: what can be decided, and the two guarded moves.

use chrono::{DateTime, Utc};
use simdepot_domain::id::OrderId;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_persistence::operations::{self, NewOperation, OperationChange};
use simdepot_persistence::orders::{self, Order};
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::{StoreError, allocations, cancellations};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, is_race, new_operation, now, uuid};

async fn begin(stock: &Stock, order: &Order, at: DateTime<Utc>) -> Result<i64, StoreError> {
    let order = order.clone();
    stock.store.write(move |conn| cancellations::begin(conn, &order, at)).await
}

async fn read(stock: &Stock, id: OrderId) -> Order {
    stock.store.read(move |conn| orders::find(conn, id)).await.unwrap().unwrap()
}

async fn decidable(stock: &Stock, order: Option<OrderId>) -> Vec<i64> {
    let places = stock.store.read(move |conn| cancellations::decidable(conn, order, 0, 100)).await.unwrap();
    places.into_iter().map(|place| place.profile_id).collect()
}

/// Sells every profile of the stock in one order.
async fn sold(db: simdepot_tests::TestDatabase, quantity: u32) -> (Stock, Vec<Profile>, Order) {
    let (stock, profiles) = Stock::of(db, usize::try_from(quantity).unwrap()).await;
    stock.sell(quantity).await.unwrap();
    let first = profiles[0].id;
    let live = stock.store.read(move |conn| allocations::live_of(conn, first)).await.unwrap().unwrap();
    let order = read(&stock, live.order).await;
    (stock, profiles, order)
}

async fn open(stock: &Stock, new: NewOperation, status: OperationStatus) {
    let id = new.id;
    let change = OperationChange {
        sent: status != OperationStatus::Pending,
        sent_at: Some((now(), now())),
        ..OperationChange::to(status)
    };
    let write = stock.store.write(move |conn| {
        operations::insert_many(conn, &[new], now())?;
        if status != OperationStatus::Pending {
            let operation = operations::find(conn, id)?.unwrap();
            operations::change(conn, &operation, None, &change, now())?;
        }
        Ok::<_, StoreError>(())
    });
    write.await.unwrap();
}

on_both_databases! {
    async fn an_order_is_marked_once_and_ends_once(db: TestDatabase) {
        let (stock, _, order) = sold(db, 1).await;
        let since = now();
        let version = begin(&stock, &order, since).await.unwrap();
        assert_eq!(version, order.version + 1);
        assert!(is_race(&begin(&stock, &order, now()).await), "the version is another");
        let marked = read(&stock, order.id).await;
        assert_eq!((marked.status, marked.cancelling_since, marked.version), (order.status, Some(since), version));
        assert!(is_race(&begin(&stock, &marked, now()).await), "it is marked");
        let complete = |order: Order| {
            stock.store.write(move |conn| cancellations::complete(conn, &order, None, now()))
        };
        assert!(is_race(&complete(order.clone()).await));
        assert_eq!(complete(marked.clone()).await.unwrap(), version + 1);
        let ended = read(&stock, order.id).await;
        assert_eq!((ended.status, ended.cancelling_since), (OrderStatus::Cancelled, None));
        assert!(is_race(&complete(ended).await), "it is not marked any more");
    }

    async fn what_is_in_flight_cannot_be_decided(db: TestDatabase) {
        let (stock, profiles, order) = sold(db, 6).await;
        assert!(decidable(&stock, None).await.is_empty(), "nobody takes it back");
        begin(&stock, &order, now()).await.unwrap();
        let open_ones = [
            OperationStatus::Pending,
            OperationStatus::Sent,
            OperationStatus::Unknown,
            OperationStatus::NeedsAttention,
        ];
        for (profile, status) in profiles.iter().zip(open_ones) {
            open(&stock, new_operation(profile), status).await;
        }
        let free = vec![profiles[0].id, profiles[4].id, profiles[5].id];
        assert_eq!(decidable(&stock, None).await, free);
        assert_eq!(decidable(&stock, Some(order.id)).await, free);
        assert!(decidable(&stock, Some(OrderId(uuid()))).await.is_empty());
        // What waits to be sent again after its answer was lost is its worker's.
        let put_back = new_operation(&profiles[5]);
        let id = put_back.id;
        open(&stock, put_back, OperationStatus::Unknown).await;
        let write = stock.store.write(move |conn| {
            let lost = operations::find(conn, id)?.unwrap();
            operations::change(conn, &lost, None, &OperationChange::to(OperationStatus::Pending), now())?;
            Ok::<_, StoreError>(operations::find(conn, id)?.unwrap())
        });
        let put_back = write.await.unwrap();
        assert_eq!((put_back.status, put_back.answer_lost), (OperationStatus::Pending, true));
        assert_eq!(decidable(&stock, None).await, free[..2]);
        let second = stock.store.read(|conn| cancellations::decidable(conn, None, 1, 5)).await.unwrap();
        assert_eq!(second.iter().map(|place| place.profile_id).collect::<Vec<_>>(), free[1..2]);
        let first = stock.store.read(|conn| cancellations::decidable(conn, None, 0, 1)).await.unwrap();
        assert_eq!((first.len(), first[0].order, first[0].profile_id), (1, order.id, profiles[0].id));
        // What has left the order is decided.
        let allocation = first[0].allocation_id;
        stock
            .store
            .write(move |conn| allocations::end(conn, allocation, ProfileOutcome::Cancelled, now()))
            .await
            .unwrap();
        assert_eq!(decidable(&stock, None).await, free[1..2]);
    }

    async fn the_open_operation_and_the_live_profiles_are_found(db: TestDatabase) {
        let (stock, profiles, order) = sold(db, 2).await;
        let (first, second, id) = (profiles[0].id, profiles[1].id, order.id);
        let find = |profile| stock.store.read(move |conn| operations::open_of(conn, profile));
        assert_eq!(find(first).await.unwrap(), None);
        let new = new_operation(&profiles[0]);
        let operation = new.id;
        open(&stock, new, OperationStatus::Unknown).await;
        assert_eq!(find(first).await.unwrap().unwrap().id, operation);
        assert_eq!(find(second).await.unwrap(), None);
        let (live, any) = stock
            .store
            .read(move |conn| {
                let live = allocations::live_count(conn, id, &[first, second, i64::MAX])?;
                Ok::<_, StoreError>((live, cancellations::any_live(conn, id)?))
            })
            .await
            .unwrap();
        assert_eq!((live, any), (2, true));
    }
}
