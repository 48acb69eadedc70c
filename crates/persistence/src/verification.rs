//! Reads for `simdepot verify`: short, chunked, with flat memory.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use simdepot_domain::hold::HoldStatus;
use simdepot_domain::id::{HoldId, ImportId, OrderId};
use simdepot_domain::stock::StockStatus;

use crate::error::{Result, parse_column};
use crate::profiles::Profile;
use crate::schema::{holds, profiles};
use crate::sql_types::{At, Uid};
use crate::store::Conn;

/// The next profiles after a row, in order.
///
/// # Errors
/// When they cannot be read.
pub fn profiles_after(conn: &mut Conn<'_>, after: i64, limit: i64) -> Result<Vec<Profile>> {
    let rows: Vec<crate::profiles::Row> =
        profiles::table.filter(profiles::id.gt(after)).order(profiles::id).limit(limit).load(conn.db)?;
    rows.into_iter().map(Profile::try_from).collect()
}

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
        "an open operation belongs to a live allocation or a bundle",
        "SELECT COUNT(*) AS n FROM operations x LEFT JOIN allocations a ON a.id = x.allocation_id \
         WHERE x.status IN ('pending', 'sent', 'accepted', 'unknown', 'needs_attention') \
         AND ((x.allocation_id IS NOT NULL AND a.ended_at IS NOT NULL) OR (x.allocation_id IS NULL AND x.bundle_id IS NULL))",
    ),
    (
        "a bundle that the carrier took has a finished operation",
        "SELECT COUNT(*) AS n FROM bundles b WHERE b.subscription_id IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM operations x WHERE x.bundle_id = b.id AND x.status = 'done')",
    ),
    (
        "a profile with an activation code index has an activation code",
        "SELECT COUNT(*) AS n FROM profile_secrets s WHERE s.code_index IS NOT NULL AND s.activation_code IS NULL",
    ),
    (
        "a profile on sale has its activation code",
        "SELECT COUNT(*) AS n FROM profiles p LEFT JOIN profile_secrets s ON s.profile_id = p.id \
         WHERE p.stock_status IN ('available', 'held') AND p.form_factor = 'esim' AND s.activation_code IS NULL",
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

/// Subjects whose events do not count from 1 without a gap up to the subject's own version.
///
/// # Errors
/// When they cannot be read.
pub fn version_gaps(conn: &mut Conn<'_>, limit: i64) -> Result<Vec<String>> {
    #[derive(QueryableByName)]
    struct Gap {
        #[diesel(sql_type = Text)]
        subject_kind: String,
        #[diesel(sql_type = Text)]
        subject_id: String,
    }
    let rows: Vec<Gap> = diesel::sql_query(
        "SELECT subject_kind, subject_id FROM events GROUP BY subject_kind, subject_id \
         HAVING MAX(version) <> COUNT(*) OR MIN(version) <> 1 ORDER BY subject_kind, subject_id LIMIT $1",
    )
    .bind::<BigInt, _>(limit)
    .load(conn.db)?;
    Ok(rows.into_iter().map(|row| format!("{} {}", row.subject_kind, row.subject_id)).collect())
}

/// The next profiles of a batch as they were imported: row, ICCID, first status.
///
/// # Errors
/// When they cannot be read.
pub fn batch_after(
    conn: &mut Conn<'_>,
    import: ImportId,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, String, StockStatus)>> {
    let rows: Vec<(i64, String, String)> = profiles::table
        .filter(profiles::import_id.eq(Uid(import.0)))
        .filter(profiles::id.gt(after))
        .order(profiles::id)
        .limit(limit)
        .select((profiles::id, profiles::iccid, profiles::imported_as))
        .load(conn.db)?;
    rows.into_iter()
        .map(|(id, iccid, status)| {
            let status = parse_column("profiles", "imported_as", &iccid, &status)?;
            Ok((id, iccid, status))
        })
        .collect()
}

/// A hold, as far as its events tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedHold {
    /// Its id.
    pub id: HoldId,
    /// How many profiles it reserved.
    pub quantity: i64,
    /// Where it stands.
    pub status: HoldStatus,
    /// Its deadline.
    pub expires_at: DateTime<Utc>,
    /// The order that it became.
    pub order: Option<OrderId>,
    /// How many events it has had.
    pub version: i64,
}

type HoldRow = (Uid, i64, String, At, Option<Uid>, i64);

fn hold((id, quantity, status, expires_at, order, version): HoldRow) -> Result<VerifiedHold> {
    Ok(VerifiedHold {
        id: HoldId(id.0),
        quantity,
        status: parse_column("holds", "status", id.0, &status)?,
        expires_at: expires_at.0,
        order: order.map(|id| OrderId(id.0)),
        version,
    })
}

const HOLD: (holds::id, holds::quantity, holds::status, holds::expires_at, holds::order_id, holds::version) =
    (holds::id, holds::quantity, holds::status, holds::expires_at, holds::order_id, holds::version);

/// The next holds after one, in order.
///
/// # Errors
/// When they cannot be read.
pub fn holds_after(conn: &mut Conn<'_>, after: Option<HoldId>, limit: i64) -> Result<Vec<VerifiedHold>> {
    let mut query = holds::table.order(holds::id).limit(limit).select(HOLD).into_boxed();
    if let Some(after) = after {
        query = query.filter(holds::id.gt(Uid(after.0)));
    }
    query.load::<HoldRow>(conn.db)?.into_iter().map(hold).collect()
}

/// One hold.
///
/// # Errors
/// When it cannot be read.
pub fn get_hold(conn: &mut Conn<'_>, id: HoldId) -> Result<VerifiedHold> {
    hold(holds::table.find(Uid(id.0)).select(HOLD).first(conn.db)?)
}
