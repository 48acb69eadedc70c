//! What lies in the database and at the carrier when a run is over.

use anyhow::Result;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use simdepot_carrier_twin::TransactionStatus;
use simdepot_carrier_twin::sps::{Effect, SpsTransactionStatus};
use simdepot_carrier_twin::subscription::SubscriptionStatus;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::id::{BundleId, EventId, HoldId, OperationId, OrderId, WebhookEndpointId};
use uuid::Uuid;

use super::ended::{kind_at_transatel, kind_at_wholesale};
use super::network::Network;
use super::world::FORGED;
use crate::checker::{
    Allocation, Bundle, CarrierCommand, CarrierLine, CarrierPlan, Drift, EndState, Endpoint, Hold, Line,
    Move, Operation, Order, Pool, Profile, Replacement, Subscription, Told,
};
use crate::history::Micros;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn count(raw: &mut SqliteConnection, sql: &str) -> Result<i64> {
    Ok(diesel::sql_query(sql).get_result::<Count>(raw)?.n)
}

/// How much is still to be done by itself. An order that is being taken back is, unless each of its profiles waits for a
/// person.
pub(super) fn open_work(raw: &mut SqliteConnection) -> Result<i64> {
    count(
        raw,
        "SELECT (SELECT COUNT(*) FROM operations WHERE status IN ('pending', 'sent', 'accepted', 'unknown')) \
         + (SELECT COUNT(*) FROM holds WHERE status = 'active') \
         + (SELECT COUNT(*) FROM carrier_events WHERE status = 'pending') \
         + (SELECT COUNT(*) FROM orders o WHERE o.cancelling_since IS NOT NULL \
            AND (SELECT COUNT(*) FROM allocations a WHERE a.order_id = o.id AND a.ended_at IS NULL AND EXISTS \
                 (SELECT 1 FROM operations x WHERE x.profile_id = a.profile_id AND x.status = 'needs_attention')) \
            < MAX(1, (SELECT COUNT(*) FROM allocations a WHERE a.order_id = o.id AND a.ended_at IS NULL))) AS n",
    )
}

/// How many times something was about to be sent.
pub(super) fn sendings(raw: &mut SqliteConnection) -> Result<i64> {
    count(raw, "SELECT COALESCE(SUM(attempts), 0) AS n FROM operations")
}

/// Operations that were sent and have no outcome so far.
pub(super) fn under_way(raw: &mut SqliteConnection) -> Result<Vec<String>> {
    let found = ids(raw, "SELECT id FROM operations WHERE status = 'sent' ORDER BY id")?;
    Ok(found.into_iter().map(|id| OperationId(id).to_string()).collect())
}

/// Comparisons of everything with the carrier: how many are under way, and how many are over.
pub(super) fn comparisons(raw: &mut SqliteConnection) -> Result<(i64, i64)> {
    let running = count(raw, "SELECT COUNT(*) AS n FROM reconciliations WHERE status = 'running'")?;
    Ok((running, count(raw, "SELECT COUNT(*) AS n FROM reconciliations WHERE status <> 'running'")?))
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Binary)]
    id: Vec<u8>,
}

fn ids(raw: &mut SqliteConnection, sql: &str) -> Result<Vec<Uuid>> {
    let rows: Vec<IdRow> = diesel::sql_query(sql).load(raw)?;
    Ok(rows.iter().filter_map(|row| Uuid::from_slice(&row.id).ok()).collect())
}

/// An operation that a person may decide.
#[derive(Debug, Clone)]
pub(super) struct Undecided {
    pub(super) id: String,
    pub(super) account: String,
    pub(super) kind: String,
    pub(super) iccid: String,
}

/// Operations that wait for a person; with `open` also those whose outcome is being found out.
pub(super) fn undecided(raw: &mut SqliteConnection, open: bool) -> Result<Vec<Undecided>> {
    let open = if open { "'needs_attention', 'unknown'" } else { "'needs_attention'" };
    let columns = ["x.id", NO, NO, "x.carrier_account", KIND, "p.iccid", NO, NO, NO, NO];
    let rest = format!(
        "operations x JOIN profiles p ON p.id = x.profile_id WHERE x.status IN ({open}) ORDER BY x.id"
    );
    let found = rows(raw, columns, &rest)?.into_iter().map(|row| Undecided {
        id: uuid(row.id.as_ref()).map(|id| OperationId(id).to_string()).unwrap_or_default(),
        account: text(row.a),
        kind: text(row.b),
        iccid: text(row.c),
    });
    Ok(found.collect())
}

/// The endpoints that are switched on.
pub(super) fn enabled_endpoints(raw: &mut SqliteConnection) -> Result<Vec<String>> {
    let found = ids(raw, "SELECT id FROM webhook_endpoints WHERE status = 'enabled' ORDER BY id")?;
    Ok(found.into_iter().map(|id| WebhookEndpointId(id).to_string()).collect())
}

/// The endpoints with a delivery that is not tried again before a moment, because of itself or of the endpoint's pause,
/// while nothing is under way to them.
pub(super) fn waits_for_next_try(raw: &mut SqliteConnection, moment: Micros) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT d.endpoint_id AS id FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id \
         WHERE d.status = 'pending' AND (d.run_at > {moment} OR e.not_before > {moment}) \
         AND NOT EXISTS (SELECT 1 FROM webhook_deliveries l \
         WHERE l.endpoint_id = d.endpoint_id AND l.lease_token IS NOT NULL)"
    );
    Ok(ids(raw, &sql)?.into_iter().map(|id| WebhookEndpointId(id).to_string()).collect())
}

/// How much is still to be sent to webhook endpoints.
pub(super) fn undelivered(raw: &mut SqliteConnection) -> Result<i64> {
    count(
        raw,
        "SELECT (SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'pending') \
         + (SELECT COUNT(*) FROM webhook_endpoints WHERE position < (SELECT MAX(seq) FROM feed)) AS n",
    )
}

/// Text and numbers of one row: every query below gives its columns these names.
#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Binary>)]
    id: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    other: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    third: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    a: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    b: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    c: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    d: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    m: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    n: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    o: Option<i64>,
}

fn rows(raw: &mut SqliteConnection, columns: [&str; 10], rest: &str) -> Result<Vec<Row>> {
    let names = ["id", "other", "third", "a", "b", "c", "d", "m", "n", "o"];
    let select: Vec<String> =
        columns.iter().zip(names).map(|(column, name)| format!("{column} AS {name}")).collect();
    let sql = format!("SELECT {} FROM {rest}", select.join(", "));
    Ok(diesel::sql_query(sql).load(raw)?)
}

fn uuid(bytes: Option<&Vec<u8>>) -> Option<Uuid> {
    bytes.and_then(|bytes| Uuid::from_slice(bytes).ok())
}

fn order_id(bytes: Option<&Vec<u8>>) -> Option<String> {
    uuid(bytes).map(|id| OrderId(id).to_string())
}

fn text(text: Option<String>) -> String {
    text.unwrap_or_default()
}

const NO: &str = "NULL";
/// What an operation is, in its own words; a device that is taken off the list apart from one that is put on it.
const KIND: &str = "CASE json_extract(x.request, '$.kind') WHEN 'line' THEN json_extract(x.request, '$.command.action') \
     WHEN 'block_device' THEN CASE json_extract(x.request, '$.block') WHEN 1 THEN 'block_device' ELSE \
     'unblock_device' END ELSE json_extract(x.request, '$.kind') END";

/// Reads everything that the checker needs.
pub(super) fn read(
    raw: &mut SqliteConnection,
    network: &Network,
    endpoints: Vec<Endpoint>,
    verify: Vec<String>,
) -> Result<EndState> {
    let mut end = EndState { verify, endpoints, watched: true, ..EndState::default() };
    read_told(raw, &mut end)?;
    let forged = format!("SELECT COUNT(*) AS n FROM carrier_events WHERE event_id LIKE '{FORGED}%'");
    end.forged_events = count(raw, &forged)?;
    read_stock(raw, &mut end)?;
    read_orders(raw, &mut end)?;
    read_work(raw, &mut end)?;
    end.feed = rows(raw, [NO, NO, NO, NO, NO, NO, NO, "seq", NO, NO], "feed ORDER BY seq")?
        .into_iter()
        .filter_map(|row| row.m)
        .collect();
    end.events = count(raw, "SELECT COUNT(*) AS n FROM events")?;
    end.carrier = network.with_twin(|twin| {
        let lines = twin.lines().map(|line| CarrierLine {
            iccid: line.spec.iccid.to_string(),
            downloaded: line.profile.as_ref().is_some_and(|profile| profile.status.was_downloaded()),
            deleted: line.profile.as_ref().is_some_and(|profile| profile.status == EsimStatus::Deleted),
            plans: twin
                .subscriptions_of(line.spec.msisdn())
                .into_iter()
                .map(|plan| CarrierPlan {
                    subscription: plan.subscription_id.clone(),
                    product: plan.product_id.clone(),
                    reference: plan.transaction_reference.clone().unwrap_or_default(),
                    over: plan.status == SubscriptionStatus::Terminated,
                })
                .collect(),
        });
        lines.collect()
    });
    read_carriers(network, &mut end);
    end.interrupted = network.interrupted();
    end.late = network.late();
    end.troubles = network
        .troubles()
        .into_iter()
        .map(|(reference, troubles)| {
            let told = troubles.iter().map(|trouble| (trouble.name(), trouble.loses_the_answer()));
            (reference, told.collect())
        })
        .collect();
    Ok(end)
}

/// Commands and subscriptions as the carriers have them, and what arrived under our numbers.
fn read_carriers(network: &Network, end: &mut EndState) {
    network.with_twin(|twin| {
        end.commands.extend(twin.transactions().iter().map(|found| CarrierCommand {
            number: None,
            iccid: found.iccid.clone(),
            kind: kind_at_transatel(found).to_owned(),
            done: found.status == TransactionStatus::Done,
        }));
        for line in twin.lines() {
            end.statuses.insert(line.spec.iccid.to_string(), line.sim_status.to_string());
        }
    });
    network.with_wholesale(|twin| {
        end.commands.extend(twin.transactions().iter().map(|found| CarrierCommand {
            number: Some(found.id.clone()),
            iccid: found.iccid.clone().unwrap_or_default(),
            kind: kind_at_wholesale(found).to_owned(),
            done: found.status == SpsTransactionStatus::Completed,
        }));
        for write in twin.received() {
            let number = write.id.clone().unwrap_or_default();
            end.numbers.entry(number).or_default().insert(format!("{:?} {}", write.call, write.body));
        }
        for sim in twin.sims() {
            let iccid = sim.spec.iccid.to_string();
            let activated = twin.effects(&iccid, Effect::Activate);
            end.subscriptions.push(Subscription {
                status: twin
                    .subscription_of_iccid(&iccid)
                    .map(|found| format!("{:?}", found.status).to_lowercase()),
                device: twin.subscription_of_iccid(&iccid).and_then(|found| found.pei.clone()),
                iccid,
                activated,
            });
        }
    });
}

/// What endpoints must have been told, and what was replaced.
fn read_told(raw: &mut SqliteConnection, end: &mut EndState) -> Result<()> {
    if !end.endpoints.is_empty() {
        let enabled = enabled_endpoints(raw)?;
        for endpoint in &mut end.endpoints {
            endpoint.enabled = enabled.contains(&endpoint.id);
        }
        let columns = ["e.id", NO, NO, "e.type_name", NO, NO, NO, "f.seq", NO, NO];
        for row in rows(raw, columns, "feed f JOIN events e ON e.id = f.event_id ORDER BY f.seq")? {
            let id = uuid(row.id.as_ref()).map(|id| EventId(id).to_string()).unwrap_or_default();
            end.told.push(Told { id, kind: text(row.a), seq: row.m.unwrap_or_default() });
        }
    }
    let (out, by) = ("json_extract(data, '$.out')", "json_extract(data, '$.by')");
    let columns = [NO, NO, NO, "subject_id", out, by, NO, NO, NO, NO];
    for row in rows(raw, columns, "events WHERE type_name = 'order.profile_replaced' ORDER BY at")? {
        end.replacements.push(Replacement { order: text(row.a), out: text(row.b), by: text(row.c) });
    }
    Ok(())
}

fn read_stock(raw: &mut SqliteConnection, end: &mut EndState) -> Result<()> {
    let columns = [NO, NO, NO, "pool", NO, NO, NO, "safety_buffer", NO, NO];
    for row in rows(raw, columns, "pools ORDER BY id")? {
        end.pools.push(Pool { pool: text(row.a), safety_buffer: row.m.unwrap_or_default() });
    }
    let columns = [
        "p.hold_id",
        NO,
        NO,
        "p.iccid",
        "q.pool",
        "p.stock_status",
        "p.imported_as",
        "p.revealed_at",
        "p.msisdn IS NOT NULL",
        NO,
    ];
    for row in rows(raw, columns, "profiles p JOIN pools q ON q.id = p.pool_id ORDER BY p.id")? {
        end.profiles.push(Profile {
            iccid: text(row.a),
            pool: text(row.b),
            stock_status: text(row.c),
            imported_as: text(row.d),
            hold: uuid(row.id.as_ref()).map(|id| HoldId(id).to_string()),
            revealed: row.m.is_some(),
            numbered: row.n == Some(1),
        });
    }
    let columns = [
        NO,
        NO,
        NO,
        "subject_id",
        "json_extract(data, '$.from')",
        "json_extract(data, '$.to')",
        "json_extract(data, '$.order')",
        "at",
        NO,
        NO,
    ];
    // Dates are the machine's, which may be set back; SQLite has one writer, so its row ids are the order of writing.
    for row in rows(raw, columns, "events WHERE type_name = 'profile.stock_moved' ORDER BY rowid")? {
        let (iccid, from, to) = (text(row.a), text(row.b), text(row.c));
        end.moves.push(Move { iccid, from, to, order: row.d, at: row.m.unwrap_or_default() });
    }
    let columns = ["id", "order_id", NO, "status", NO, NO, NO, "expires_at", "quantity", NO];
    for row in rows(raw, columns, "holds ORDER BY id")? {
        end.holds.push(Hold {
            id: uuid(row.id.as_ref()).map(|id| HoldId(id).to_string()).unwrap_or_default(),
            order: order_id(row.other.as_ref()),
            status: text(row.a),
            expires_at: row.m.unwrap_or_default(),
        });
    }
    let columns = [NO, NO, NO, "p.iccid", "d.kind", "d.subject", "d.status", NO, NO, NO];
    for row in rows(raw, columns, "drifts d JOIN profiles p ON p.id = d.profile_id ORDER BY d.id")? {
        let (iccid, kind, about, status) = (text(row.a), text(row.b), text(row.c), text(row.d));
        end.drifts.push(Drift { iccid, kind, about, status });
    }
    Ok(())
}

fn read_orders(raw: &mut SqliteConnection, end: &mut EndState) -> Result<()> {
    let columns = ["id", NO, NO, "channel", "reference", "status", NO, "cancelling_since", NO, NO];
    for row in rows(raw, columns, "orders ORDER BY id")? {
        end.orders.push(Order {
            id: order_id(row.id.as_ref()).unwrap_or_default(),
            channel: text(row.a),
            reference: text(row.b),
            status: text(row.c),
            cancelling: row.m.is_some(),
        });
    }
    let columns = ["l.order_id", NO, NO, "q.pool", "l.product", NO, NO, "l.line_no", "l.quantity", NO];
    let rest = "order_lines l JOIN pools q ON q.id = l.pool_id ORDER BY l.order_id, l.line_no";
    for row in rows(raw, columns, rest)? {
        end.lines.push(Line {
            order: order_id(row.id.as_ref()).unwrap_or_default(),
            line: row.m.unwrap_or_default(),
            pool: text(row.a),
            product: row.b,
            quantity: row.n.unwrap_or_default(),
        });
    }
    let columns =
        ["a.order_id", NO, NO, "p.iccid", "a.outcome", NO, NO, "a.line_no", "a.created_at", "a.ended_at"];
    for row in rows(raw, columns, "allocations a JOIN profiles p ON p.id = a.profile_id ORDER BY a.id")? {
        end.allocations.push(Allocation {
            order: order_id(row.id.as_ref()).unwrap_or_default(),
            iccid: text(row.a),
            outcome: text(row.b),
            line: row.m.unwrap_or_default(),
            begun: row.n.unwrap_or_default(),
            ended: row.o,
        });
    }
    Ok(())
}

fn read_work(raw: &mut SqliteConnection, end: &mut EndState) -> Result<()> {
    let columns =
        ["b.id", "b.order_id", NO, "p.iccid", "b.product", "b.status", "b.subscription_id", NO, NO, NO];
    for row in rows(raw, columns, "bundles b JOIN profiles p ON p.id = b.profile_id ORDER BY b.id")? {
        end.bundles.push(Bundle {
            id: uuid(row.id.as_ref()).map(|id| BundleId(id).to_string()).unwrap_or_default(),
            order: order_id(row.other.as_ref()),
            iccid: text(row.a),
            product: text(row.b),
            status: text(row.c),
            subscription: row.d,
        });
    }
    let columns = [
        "x.id",
        "x.order_id",
        "x.bundle_id",
        "p.iccid",
        "x.status",
        "COALESCE(json_extract(x.problem, '$.code'), CASE WHEN x.evidence IS NULL THEN NULL ELSE '' END)",
        &format!("{KIND} || ' ' || x.carrier_account"),
        "x.attempts",
        "x.answer_lost",
        NO,
    ];
    for row in rows(raw, columns, "operations x JOIN profiles p ON p.id = x.profile_id ORDER BY x.id")? {
        let told = text(row.d);
        let told = told.split_once(' ').unwrap_or_default();
        end.operations.push(Operation {
            id: uuid(row.id.as_ref()).map(|id| OperationId(id).to_string()).unwrap_or_default(),
            order: order_id(row.other.as_ref()),
            bundle: uuid(row.third.as_ref()).map(|id| BundleId(id).to_string()),
            iccid: text(row.a),
            status: text(row.b),
            explained: row.c.is_some(),
            code: text(row.c),
            kind: told.0.to_owned(),
            account: told.1.to_owned(),
        });
    }
    Ok(())
}
