//! From the ledger to the rows: whatever an event tells of must be there.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use simdepot_domain::event::SubjectKind;
use simdepot_domain::id::{
    ApiKeyId, BundleId, HoldId, ImportId, LineJobId, OperationId, OrderId, ReconciliationId,
    WebhookEndpointId,
};

use crate::error::Result;
use crate::schema::{
    api_keys, bundles, holds, imports, line_jobs, operations, orders, pools, profiles, rate_plans,
    reconciliations, service_profiles, webhook_endpoints,
};
use crate::sql_types::Uid;
use crate::store::Conn;

/// What the ledger tells of one subject.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct LedgerSubject {
    /// Which one.
    #[diesel(sql_type = Text)]
    pub subject_id: String,
    /// The version of its first event.
    #[diesel(sql_type = BigInt)]
    pub first: i64,
    /// The version of its last event.
    #[diesel(sql_type = BigInt)]
    pub last: i64,
    /// How many events it has.
    #[diesel(sql_type = BigInt)]
    pub events: i64,
}

impl LedgerSubject {
    /// Whether its events count from 1 without a gap.
    pub fn is_dense(&self) -> bool {
        self.first == 1 && self.last == self.events
    }
}

/// The next subjects of a kind that the ledger tells of, in the order of their ids. The index of the versions holds
/// all that is asked for, in this order.
///
/// # Errors
/// When they cannot be read.
pub fn subjects_after(
    conn: &mut Conn<'_>,
    kind: SubjectKind,
    after: &str,
    limit: i64,
) -> Result<Vec<LedgerSubject>> {
    Ok(diesel::sql_query(
        "SELECT subject_id, MIN(version) AS first, MAX(version) AS last, COUNT(*) AS events FROM events \
         WHERE subject_kind = $1 AND subject_id > $2 GROUP BY subject_id ORDER BY subject_id LIMIT $3",
    )
    .bind::<Text, _>(kind.to_string())
    .bind::<Text, _>(after)
    .bind::<BigInt, _>(limit)
    .load(conn.db)?)
}

/// Those of the subjects that have a row. The feed has none and needs none.
///
/// # Errors
/// When they cannot be read.
pub fn existing(conn: &mut Conn<'_>, kind: SubjectKind, ids: &[String]) -> Result<HashSet<String>> {
    macro_rules! by_id {
        ($table:ident, $id:ident) => {{
            let asked: Vec<Uid> =
                ids.iter().filter_map(|id| id.parse::<$id>().ok()).map(|id| Uid(id.0)).collect();
            let found: Vec<Uid> =
                $table::table.filter($table::id.eq_any(asked)).select($table::id).load(conn.db)?;
            found.into_iter().map(|id| $id(id.0).to_string()).collect()
        }};
    }
    Ok(match kind {
        SubjectKind::Profile => profiles::table
            .filter(profiles::iccid.eq_any(ids))
            .select(profiles::iccid)
            .load::<String>(conn.db)?
            .into_iter()
            .collect(),
        SubjectKind::Pool => pools::table
            .filter(pools::pool.eq_any(ids))
            .select(pools::pool)
            .load::<String>(conn.db)?
            .into_iter()
            .collect(),
        SubjectKind::Order => by_id!(orders, OrderId),
        SubjectKind::Bundle => by_id!(bundles, BundleId),
        SubjectKind::Operation => by_id!(operations, OperationId),
        SubjectKind::Import => by_id!(imports, ImportId),
        SubjectKind::ApiKey => by_id!(api_keys, ApiKeyId),
        SubjectKind::Hold => by_id!(holds, HoldId),
        SubjectKind::WebhookEndpoint => by_id!(webhook_endpoints, WebhookEndpointId),
        SubjectKind::Reconciliation => by_id!(reconciliations, ReconciliationId),
        SubjectKind::LineJob => by_id!(line_jobs, LineJobId),
        SubjectKind::RatePlan => rate_plans::table
            .filter(rate_plans::rate_plan.eq_any(ids))
            .select(rate_plans::rate_plan)
            .load::<String>(conn.db)?
            .into_iter()
            .collect(),
        SubjectKind::ServiceProfile => service_profiles::table
            .filter(service_profiles::name.eq_any(ids))
            .select(service_profiles::name)
            .load::<String>(conn.db)?
            .into_iter()
            .collect(),
        SubjectKind::Feed => ids.iter().cloned().collect(),
    })
}
