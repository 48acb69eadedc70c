//! The other lists and lookups.

use simdepot_domain::channel::{AccountName, PoolName};
use simdepot_domain::event::SubjectKind;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::profile::no_sell_by;
use simdepot_persistence::order_list::{self, OrderFilter};
use simdepot_persistence::{
    allocations, drifts, events, feed, groups, holds, imports, lines, operations, orders, pools, profiles,
    stock_counts, verification,
};

use super::{PAGE, Read, read};
use crate::support::{channel, days, now};

type Reads = Vec<(&'static str, Read)>;

/// The reads of a stock of this size that [`simdepot_tests::fill::fill`] made.
pub(super) fn lookups(size: i64) -> Reads {
    let sold = size / 5;
    [of_pools(), of_one_profile(sold), of_orders(sold), of_operations(), of_groups(), of_the_rest(sold)]
        .into_iter()
        .flatten()
        .collect()
}

fn of_pools() -> Reads {
    vec![
        ("stock levels", read(|conn| Ok(stock_counts::of_pool(conn, 1, now())?.by_status.len()))),
        ("availability", read(|conn| Ok(usize::from(stock_counts::on_sale(conn, 1, now())? > 0)))),
        (
            "stock that expires",
            read(|conn| Ok(usize::from(stock_counts::expiring(conn, 1, now(), no_sell_by())?.is_some()))),
        ),
        (
            "sold in 30 days",
            read(|conn| Ok(usize::from(stock_counts::sold_since(conn, 1, now() - days(30))? > 0))),
        ),
        (
            "all profiles, counted",
            read(|conn| Ok(usize::try_from(stock_counts::total(conn)?.min(1)).unwrap())),
        ),
        (
            "pool by name",
            read(|conn| Ok(usize::from(pools::find(conn, &PoolName::parse("pool-1").unwrap())?.is_some()))),
        ),
        ("stock without a code: none", read(|conn| Ok(usize::from(pools::has_stock_without_code(conn, 1)?)))),
    ]
}

fn of_one_profile(sold: i64) -> Reads {
    let iccid = format!("8988247{:012}", sold / 2 + 1);
    let known = Iccid::parse(&iccid).unwrap();
    vec![
        ("profile by ICCID", read(move |conn| Ok(usize::from(profiles::find(conn, &known)?.is_some())))),
        ("line of a profile", read(move |conn| Ok(usize::from(lines::find(conn, sold)?.is_some())))),
        (
            "orders of a profile",
            read(move |conn| {
                let ids = allocations::orders_of(conn, sold)?;
                let mut found = 0;
                for id in ids {
                    found += usize::from(orders::find(conn, id)?.is_some());
                }
                Ok(found)
            }),
        ),
        ("operations of a profile", read(move |conn| Ok(operations::of_profile(conn, sold)?.len()))),
        (
            "events of a profile",
            read(move |conn| Ok(events::of_subject(conn, SubjectKind::Profile, &iccid)?.len())),
        ),
    ]
}

fn of_orders(sold: i64) -> Reads {
    let shop = || OrderFilter::of(channel("shop"));
    let orders_of = |filter: OrderFilter| read(move |conn| Ok(order_list::list(conn, &filter, PAGE)?.len()));
    vec![
        ("orders", orders_of(shop())),
        ("orders, small channel", orders_of(OrderFilter::of(channel("other")))),
        (
            "orders needing attention",
            orders_of(OrderFilter { status: Some(OrderStatus::NeedsAttention), ..shop() }),
        ),
        ("orders failed: none", orders_of(OrderFilter { status: Some(OrderStatus::Failed), ..shop() })),
        (
            "orders since now: none",
            orders_of(OrderFilter { created_after: Some(now() + days(3650)), ..shop() }),
        ),
        (
            "order by reference",
            orders_of(OrderFilter { reference: Some(format!("ref-{:09}", sold / 2 + 1)), ..shop() }),
        ),
    ]
}

fn of_operations() -> Reads {
    let operations_of = |name: Option<&'static str>, status| {
        read(move |conn| {
            Ok(operations::list(conn, name.map(channel).as_ref(), status, None, PAGE)?.operations.len())
        })
    };
    vec![
        ("operations", operations_of(None, None)),
        ("operations refused", operations_of(None, Some(OperationStatus::Refused))),
        ("operations needing attention: none", operations_of(None, Some(OperationStatus::NeedsAttention))),
        ("operations of a channel", operations_of(Some("shop"), None)),
        ("operations of a small channel", operations_of(Some("other"), None)),
        ("operations of a channel without any", operations_of(Some("nobody"), None)),
    ]
}

fn of_groups() -> Reads {
    vec![
        ("groups", read(|conn| Ok(groups::names_after(conn, None, None, PAGE)?.len()))),
        (
            "groups of an account",
            read(|conn| {
                Ok(groups::names_after(
                    conn,
                    Some(&AccountName::parse("spc").unwrap()),
                    Some("fleet-1"),
                    PAGE,
                )?
                .len())
            }),
        ),
    ]
}

fn of_the_rest(sold: i64) -> Reads {
    vec![
        ("events after a number", read(move |conn| Ok(feed::after(conn, sold / 2, 200)?.len()))),
        ("differences that are open", read(|conn| Ok(drifts::open(conn, 100)?.len()))),
        ("deliveries", read(|conn| Ok(imports::list(conn, Some(1), None, PAGE)?.len()))),
        ("holds", read(|conn| Ok(holds::list(conn, &channel("shop"), None, PAGE)?.len()))),
        (
            "profiles of a delivery, to verify",
            read(|conn| {
                let last = imports::list(conn, Some(1), None, 1)?.remove(0);
                Ok(verification::batch_after(conn, last.id, 0, PAGE)?.len())
            }),
        ),
        (
            "refused rows of a delivery: none",
            read(|conn| {
                let first = imports::list(conn, Some(1), Some(2), 1)?.remove(0);
                Ok(imports::reported(conn, first.id, true, 0, 100)?.len())
            }),
        ),
    ]
}
