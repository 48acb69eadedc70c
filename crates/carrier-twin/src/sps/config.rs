//! The account that an SPS twin serves.

use std::fmt;
use std::str::FromStr;

use simdepot_domain::secret::Secret;
use simdepot_domain::smdp_address::SmdpAddress;

use super::assumptions::SpsAssumptions;
use super::devices::{DeviceModel, sandbox_devices};
use crate::webhook::Webhook;

/// Host that the twin's profiles are downloaded from. `.example` never resolves, so no phone can try.
const SMDP: &str = "smdp.twin.example";
/// The header with the signature unless another is set, in lower case.
pub(super) const SIGNATURE_HEADER: &str = "x-signature-256";
/// First number that the twin assigns.
const FIRST_GPSI: u64 = 19_452_000_000;

/// Method and path of a call, written as `POST /activate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpsRoute {
    /// Method in upper case.
    pub method: String,
    /// Path, from its first slash.
    pub path: String,
}

/// A text that is no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a route is a method of POST, PUT or PATCH and a path, for example \"POST /activate\"")]
pub struct NoRoute;

impl FromStr for SpsRoute {
    type Err = NoRoute;

    fn from_str(text: &str) -> Result<Self, NoRoute> {
        let (method, path) = text.trim().split_once(' ').ok_or(NoRoute)?;
        let (method, path) = (method.to_ascii_uppercase(), path.trim());
        let plain = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?');
        if !plain || !matches!(method.as_str(), "POST" | "PUT" | "PATCH") {
            return Err(NoRoute);
        }
        Ok(Self { method, path: path.to_owned() })
    }
}

impl fmt::Display for SpsRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl SpsRoute {
    fn post(path: &str) -> Self {
        Self { method: "POST".to_owned(), path: path.to_owned() }
    }
}

/// How a notification shows where it comes from. Nothing of it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookAuth {
    /// `sha256=` and the HMAC of the raw body in hexadecimal digits, in a header of this name.
    Signature {
        /// In lower case.
        header: String,
    },
    /// `Authorization: Bearer` and the secret itself.
    Bearer,
}

/// Credentials, routes, stock and behaviour of one account.
#[derive(Debug, Clone)]
pub struct SpsConfig {
    /// Client id of the token call.
    pub client_id: String,
    /// Client secret of the token call.
    pub client_secret: Secret,
    /// Path of the token call; assumed.
    pub token_path: String,
    /// The account's `wholesaleCustomerId`; another one in a request is refused. `None` takes any.
    pub wholesale_customer_id: Option<String>,
    /// Activate a subscription; assumed.
    pub activate: SpsRoute,
    /// Update a subscription's status; assumed.
    pub status: SpsRoute,
    /// Change of device and SIM; assumed.
    pub change: SpsRoute,
    /// Add to and remove from the blocklist; assumed.
    pub block_list: SpsRoute,
    /// Ids, ICCIDs and matching ids are counted from here; the same seed makes the same stock, and ICCIDs and GPSIs
    /// differ when the seeds differ modulo 80.
    pub seed: u64,
    /// First of the numbers that the twin assigns; each seed has a hundred thousand of its own behind it.
    pub first_gpsi: u64,
    /// How many numbers it assigns before it has none left.
    pub gpsi_count: u64,
    /// Whether the stock is of physical SIMs; otherwise of eSIM profiles.
    pub physical: bool,
    /// SM-DP+ address of the profiles that the twin makes.
    pub smdp_address: SmdpAddress,
    /// What is known of devices, by type allocation code.
    pub devices: Vec<(String, DeviceModel)>,
    /// Behaviour that the published pages leave open.
    pub assumptions: SpsAssumptions,
    /// Where notifications go; nowhere unless set here or later.
    pub webhook: Option<Webhook>,
    /// How they show where they come from.
    pub webhook_auth: WebhookAuth,
}

impl SpsConfig {
    /// A demonstration account: client `sandbox`, secret `sandbox-secret`.
    #[expect(clippy::expect_used, reason = "the host is a constant that a test reads")]
    pub fn sandbox() -> Self {
        Self {
            client_id: "sandbox".to_owned(),
            client_secret: Secret::new("sandbox-secret"),
            token_path: "/oauth/token".to_owned(),
            wholesale_customer_id: Some("920000108464".to_owned()),
            activate: SpsRoute::post("/activate"),
            status: SpsRoute::post("/status"),
            change: SpsRoute::post("/deviceSim/change"),
            block_list: SpsRoute::post("/blockList"),
            seed: 1,
            first_gpsi: FIRST_GPSI,
            gpsi_count: 100_000,
            physical: false,
            smdp_address: SmdpAddress::parse(SMDP).expect("the sandbox SM-DP+ address is a host name"),
            devices: sandbox_devices(),
            assumptions: SpsAssumptions::default(),
            webhook: None,
            webhook_auth: WebhookAuth::Signature { header: SIGNATURE_HEADER.to_owned() },
        }
    }

    /// What a client's settings must fit, in one line and without secrets.
    pub fn summary(&self) -> String {
        let auth = match &self.webhook_auth {
            WebhookAuth::Signature { header } => format!("signed in {header}"),
            WebhookAuth::Bearer => "with the secret as a bearer".to_owned(),
        };
        format!(
            "client_id {client}, wholesale_customer_id {customer}, token {token}, activate {activate}, status {status}, \
             change {change}, block_list {block_list}, notifications {auth}",
            client = self.client_id,
            customer = self.wholesale_customer_id.as_deref().unwrap_or("any"),
            token = self.token_path,
            activate = self.activate,
            status = self.status,
            change = self.change,
            block_list = self.block_list,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sandbox_is_valid_and_keeps_its_secret() {
        let config = SpsConfig::sandbox();
        assert_eq!(config.wholesale_customer_id.as_ref().map(String::len), Some(12));
        assert!(!format!("{config:?} {}", config.summary()).contains("sandbox-secret"));
        let any = SpsConfig { wholesale_customer_id: None, webhook_auth: WebhookAuth::Bearer, ..config };
        assert!(
            any.summary().contains("wholesale_customer_id any, token /oauth/token, activate POST /activate")
        );
        assert!(any.summary().ends_with("notifications with the secret as a bearer"));
    }

    #[test]
    fn routes_are_a_method_and_a_path() {
        let route: SpsRoute = " put /v5/subscription/status".parse().unwrap();
        assert_eq!((route.method.as_str(), route.path.as_str()), ("PUT", "/v5/subscription/status"));
        assert_eq!(route.to_string(), "PUT /v5/subscription/status");
        for bad in ["/activate", "POST activate", "GET /activate", "POST /a?b=c", "POST /a b", ""] {
            assert_eq!(bad.parse::<SpsRoute>(), Err(NoRoute), "{bad}");
        }
    }
}
