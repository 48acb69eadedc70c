//! Holds.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_application::holds::{HoldView, NewHold};
use simdepot_domain::{channel, id};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::identifiers;
use super::words::HoldStatus;
use crate::pagination::Limit;

/// A new hold.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"pool": "travel-world", "quantity": 2, "ttl_seconds": 900}))]
pub struct HoldRequest {
    /// The pool to reserve from.
    #[schema(value_type = identifiers::PoolName)]
    pub pool: channel::PoolName,
    /// How many profiles. A channel holds at most 1000 at a time.
    #[validate(range(min = 1, max = 1000))]
    #[schema(minimum = 1, maximum = 1000)]
    pub quantity: u32,
    /// For how long, in seconds: up to seven days.
    #[validate(range(min = 1, max = 604_800))]
    #[schema(minimum = 1, maximum = 604_800)]
    pub ttl_seconds: u32,
}

impl From<HoldRequest> for NewHold {
    fn from(request: HoldRequest) -> Self {
        let HoldRequest { pool, quantity, ttl_seconds } = request;
        Self { pool, quantity, ttl_seconds }
    }
}

/// Another deadline.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"ttl_seconds": 900}))]
pub struct HoldPatch {
    /// For how long from now, in seconds: up to seven days.
    #[validate(range(min = 1, max = 604_800))]
    #[schema(minimum = 1, maximum = 604_800)]
    pub ttl_seconds: u32,
}

/// Which holds to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HoldsQuery {
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Profiles of a pool reserved for your channel until a deadline.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "hold_01kamf2r8xd7qv0m3c5n9hyz4a", "channel": "default", "pool": "travel-world", "quantity": 2,
    "status": "active", "expires_at": "2026-11-21T18:15:00Z", "order_id": null,
    "created_at": "2026-11-21T18:00:00Z", "updated_at": "2026-11-21T18:00:00Z"
}))]
pub struct Hold {
    /// Its id.
    #[schema(value_type = identifiers::HoldId)]
    pub id: id::HoldId,
    /// Your channel.
    #[schema(value_type = identifiers::ChannelName)]
    pub channel: channel::ChannelName,
    /// The pool.
    #[schema(value_type = identifiers::PoolName)]
    pub pool: channel::PoolName,
    /// How many profiles it was made for.
    pub quantity: u32,
    /// Where it stands.
    pub status: HoldStatus,
    /// From this moment on it reserves nothing.
    pub expires_at: DateTime<Utc>,
    /// The order that it became.
    #[schema(value_type = Option<identifiers::OrderId>)]
    pub order_id: Option<id::OrderId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl From<HoldView> for Hold {
    fn from(view: HoldView) -> Self {
        let HoldView { hold, pool } = view;
        Self {
            id: hold.id,
            channel: hold.channel,
            pool,
            quantity: hold.quantity,
            status: hold.status.into(),
            expires_at: hold.expires_at,
            order_id: hold.order,
            created_at: hold.created_at,
            updated_at: hold.updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use simdepot_domain::hold::{MAX_HELD, MAX_TTL_SECONDS, MIN_TTL_SECONDS};

    use super::*;

    #[test]
    fn the_bounds_are_those_of_the_rules() {
        let fits = |quantity, ttl_seconds| {
            let pool = channel::PoolName::parse("world").unwrap();
            HoldRequest { pool, quantity, ttl_seconds }.validate().is_ok()
        };
        assert!(fits(1, MIN_TTL_SECONDS) && fits(MAX_HELD, MAX_TTL_SECONDS));
        assert!(!fits(0, 60) && !fits(MAX_HELD + 1, 60));
        assert!(!fits(1, MIN_TTL_SECONDS - 1) && !fits(1, MAX_TTL_SECONDS + 1));
        assert!(HoldPatch { ttl_seconds: MAX_TTL_SECONDS }.validate().is_ok());
        assert!(HoldPatch { ttl_seconds: MAX_TTL_SECONDS + 1 }.validate().is_err());
    }
}
