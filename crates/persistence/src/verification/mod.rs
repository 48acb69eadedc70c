//! Reads for `simdepot verify`: short, chunked, with flat memory.

mod rows;
mod secrets;
mod subjects;

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::error::Result;
use crate::store::Conn;

pub use rows::{
    Imported, VerifiedBundle, VerifiedHold, VerifiedOperation, VerifiedOrder, batch_after, bundles_after,
    endpoints_after, holds_after, live_orders, operations_after, orders_after, profiles_after,
};
pub use secrets::{SecretsSeen, check_secrets};
pub use subjects::{LedgerSubject, existing, subjects_after};

/// An invariant that one query can check, and how many rows break it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What must hold.
    pub invariant: &'static str,
    /// Rows that break it.
    pub rows: i64,
}

/// What must hold between tables. Each query counts the rows that break it; each is one statement, so it sees one
/// moment of a live server.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "an allocated profile has exactly one live allocation",
        "SELECT COUNT(*) AS n FROM profiles p WHERE p.stock_status = 'allocated' AND \
         (SELECT COUNT(*) FROM allocations a WHERE a.profile_id = p.id AND a.ended_at IS NULL) <> 1",
    ),
    (
        "a live allocation holds an allocated profile",
        "SELECT COUNT(*) AS n FROM allocations a JOIN profiles p ON p.id = a.profile_id \
         WHERE a.ended_at IS NULL AND p.stock_status <> 'allocated'",
    ),
    (
        "every place of an order has an allocation",
        "SELECT COUNT(*) AS n FROM order_lines l WHERE l.quantity <> \
         (SELECT COUNT(DISTINCT a.position) FROM allocations a WHERE a.order_id = l.order_id AND a.line_no = l.line_no)",
    ),
    (
        "an order in progress waits for an open operation",
        "SELECT COUNT(*) AS n FROM orders o WHERE o.status = 'in_progress' AND o.cancelling_since IS NULL AND NOT EXISTS \
         (SELECT 1 FROM operations x WHERE x.order_id = o.id AND \
          x.status IN ('pending', 'sent', 'accepted', 'unknown', 'needs_attention'))",
    ),
    (
        "a line and a place belong to an order",
        "SELECT (SELECT COUNT(*) FROM order_lines l WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = l.order_id)) + \
         (SELECT COUNT(*) FROM allocations a WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = a.order_id)) AS n",
    ),
    (
        "an order that is being taken back still has a profile to decide on",
        "SELECT COUNT(*) AS n FROM orders o WHERE o.cancelling_since IS NOT NULL AND (o.status = 'cancelled' OR NOT EXISTS \
         (SELECT 1 FROM allocations a WHERE a.order_id = o.id AND a.ended_at IS NULL))",
    ),
    (
        "a cancelled order holds no profile",
        "SELECT COUNT(*) AS n FROM orders o WHERE o.status = 'cancelled' AND EXISTS \
         (SELECT 1 FROM allocations a WHERE a.order_id = o.id AND a.ended_at IS NULL)",
    ),
    (
        "an open sale belongs to a live allocation or a bundle",
        "SELECT COUNT(*) AS n FROM operations x LEFT JOIN allocations a ON a.id = x.allocation_id \
         WHERE x.lane = 'sale' AND x.status IN ('pending', 'sent', 'accepted', 'unknown', 'needs_attention') \
         AND ((x.allocation_id IS NOT NULL AND a.ended_at IS NOT NULL) OR (x.allocation_id IS NULL AND x.bundle_id IS NULL))",
    ),
    (
        "a bundle that the carrier took has a finished operation",
        "SELECT COUNT(*) AS n FROM bundles b WHERE b.subscription_id IS NOT NULL \
         AND (b.order_id IS NOT NULL OR b.reference IS NOT NULL) AND NOT EXISTS \
         (SELECT 1 FROM operations x WHERE x.bundle_id = b.id AND x.status = 'done')",
    ),
    (
        "a bundle that was found at the carrier names its subscription and has no operation",
        "SELECT COUNT(*) AS n FROM bundles b WHERE b.order_id IS NULL AND b.reference IS NULL \
         AND (b.subscription_id IS NULL OR EXISTS (SELECT 1 FROM operations x WHERE x.bundle_id = b.id))",
    ),
    (
        "a profile with an activation code index has an activation code",
        "SELECT COUNT(*) AS n FROM profile_secrets s WHERE s.code_index IS NOT NULL AND s.activation_code IS NULL",
    ),
    (
        "a profile on sale has its activation code, or gets it with its activation",
        "SELECT COUNT(*) AS n FROM profiles p JOIN pools o ON o.id = p.pool_id \
         LEFT JOIN profile_secrets s ON s.profile_id = p.id \
         WHERE p.stock_status IN ('available', 'held') AND p.form_factor = 'esim' AND s.activation_code IS NULL \
         AND o.activation IS NULL",
    ),
    (
        "a held profile belongs to an active hold",
        "SELECT COUNT(*) AS n FROM profiles p LEFT JOIN holds h ON h.id = p.hold_id \
         WHERE p.stock_status = 'held' AND (h.id IS NULL OR h.status <> 'active')",
    ),
    (
        "an active hold has no more profiles than it reserves",
        "SELECT COUNT(*) AS n FROM holds h WHERE h.status = 'active' AND \
         (SELECT COUNT(*) FROM profiles p WHERE p.hold_id = h.id) > h.quantity",
    ),
    (
        "a converted hold has its order",
        "SELECT COUNT(*) AS n FROM holds h LEFT JOIN orders o ON o.id = h.order_id \
         WHERE h.status = 'converted' AND (o.id IS NULL OR o.channel <> h.channel)",
    ),
    (
        "the counts of the stock are those of its profiles",
        "SELECT COUNT(*) AS n FROM (SELECT pool_id, stock_status, sell_by FROM \
         (SELECT pool_id, stock_status, CASE WHEN stock_status = 'available' THEN sell_by END AS sell_by, 1 AS profiles \
          FROM profiles UNION ALL \
          SELECT pool_id, stock_status, CASE WHEN stock_status = 'available' THEN sell_by END, -profiles \
          FROM stock_now) counted GROUP BY pool_id, stock_status, sell_by HAVING SUM(profiles) <> 0) different",
    ),
    (
        "a line job counts its rows",
        "SELECT COUNT(*) AS n FROM line_jobs j JOIN (SELECT job_id, COUNT(*) AS total, \
         SUM(CASE WHEN status = 'running' THEN 1 ELSE 0 END) AS running, \
         SUM(CASE WHEN status = 'done' THEN 1 ELSE 0 END) AS done, \
         SUM(CASE WHEN status = 'refused' THEN 1 ELSE 0 END) AS refused, \
         SUM(CASE WHEN status = 'needs_attention' THEN 1 ELSE 0 END) AS needs_attention \
         FROM line_job_rows GROUP BY job_id) r ON r.job_id = j.id \
         WHERE j.total <> r.total OR j.running <> r.running OR j.done <> r.done OR j.refused <> r.refused \
         OR j.needs_attention <> r.needs_attention",
    ),
    (
        "a row of a line job that was told has its operation, on its SIM",
        "SELECT COUNT(*) AS n FROM line_job_rows r LEFT JOIN operations x ON x.id = r.operation_id \
         LEFT JOIN profiles p ON p.id = x.profile_id \
         WHERE (r.status = 'queued' AND r.operation_id IS NOT NULL) \
         OR (r.status IN ('running', 'done', 'needs_attention') AND x.id IS NULL) \
         OR (r.status = 'done' AND x.status <> 'done') \
         OR (x.id IS NOT NULL AND (x.lane <> 'line' OR SUBSTR(p.iccid, 1, 19) <> SUBSTR(r.iccid, 1, 19)))",
    ),
];

/// Checks every invariant.
///
/// # Errors
/// When one cannot be asked.
pub fn broken_invariants(conn: &mut Conn<'_>) -> Result<Vec<Broken>> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let mut broken = Vec::new();
    for (invariant, sql) in INVARIANTS {
        let count: Count = diesel::sql_query(*sql).get_result(conn.db)?;
        if count.n > 0 {
            broken.push(Broken { invariant, rows: count.n });
        }
    }
    Ok(broken)
}
