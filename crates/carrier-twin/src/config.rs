//! The account that a twin serves.

use chrono::{DateTime, Utc};
use simdepot_domain::secret::Secret;
use simdepot_domain::smdp_address::SmdpAddress;

use crate::assumptions::Assumptions;
use crate::catalogue::Product;
use crate::products;
use crate::webhook::Webhook;

/// Host that the twin's profiles are downloaded from. `.example` never resolves, so no phone can try.
const SMDP: &str = "smdp.twin.example";
/// When the twin's stock was delivered, unless the configuration says otherwise: 2025-01-01.
const DELIVERED: i64 = 1_735_689_600;

/// Credentials, catalogue and behaviour of one account.
#[derive(Debug, Clone)]
pub struct TwinConfig {
    /// Client id of the token call.
    pub client_id: String,
    /// Client secret of the token call.
    pub client_secret: Secret,
    /// Account name that orders must carry.
    pub mvno_ref: String,
    /// Class of service: the id of the catalogue.
    pub cos: String,
    /// Rate plan that subscriber reads show.
    pub rate_plan: String,
    /// Ids, ICCIDs and matching ids are counted from here; the same seed makes the same
    /// stock, and ICCIDs and MSISDNs differ when the seeds differ modulo 1000.
    pub seed: u64,
    /// SM-DP+ address of the profiles that the twin makes.
    pub smdp_address: SmdpAddress,
    /// Date of the first status of every line.
    pub delivered_at: DateTime<Utc>,
    /// Behaviour that the public documentation leaves open.
    pub assumptions: Assumptions,
    /// The catalogue.
    pub products: Vec<Product>,
    /// Where events go; nowhere unless set here or later.
    pub webhook: Option<Webhook>,
}

impl TwinConfig {
    /// A demonstration account with a believable catalogue: client `sandbox`, secret `sandbox-secret`.
    #[expect(clippy::expect_used, reason = "the host is a constant that a test reads")]
    pub fn sandbox() -> Self {
        Self {
            client_id: "sandbox".to_owned(),
            client_secret: Secret::new("sandbox-secret"),
            mvno_ref: "M2MA_WW_TSL_SANDBOX".to_owned(),
            cos: "WW_M2MA_COS_SPC".to_owned(),
            rate_plan: "M2MA_WW_TSL_SPC".to_owned(),
            seed: 1,
            smdp_address: SmdpAddress::parse(SMDP).expect("the sandbox SM-DP+ address is a host name"),
            delivered_at: DateTime::from_timestamp(DELIVERED, 0).unwrap_or_default(),
            assumptions: Assumptions::default(),
            products: products::sandbox(),
            webhook: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sandbox_is_valid_and_keeps_its_secret() {
        let config = TwinConfig::sandbox();
        assert_eq!(config.delivered_at.to_rfc3339(), "2025-01-01T00:00:00+00:00");
        assert!(config.products.len() >= 12);
        assert!(!format!("{config:?}").contains("sandbox-secret"));
    }
}
