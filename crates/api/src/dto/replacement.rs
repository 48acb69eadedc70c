//! Replacing sold profiles.

use serde::Serialize;
use simdepot_application::replacements::Replacement;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id;
use utoipa::ToSchema;

use super::identifiers;
use super::profile::Profile;

/// A profile that took the place of another in an order.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplacedProfile {
    /// The new profile.
    #[serde(flatten)]
    pub profile: Profile,
    /// The one that it replaces.
    #[schema(value_type = identifiers::Iccid)]
    pub replaces: Iccid,
    /// In which order.
    #[schema(value_type = identifiers::OrderId)]
    pub order_id: id::OrderId,
}

impl From<Replacement> for ReplacedProfile {
    fn from(made: Replacement) -> Self {
        let Replacement { profile, replaces, order, replayed: _ } = made;
        Self { profile: Profile::new(profile, true), replaces, order_id: order }
    }
}
