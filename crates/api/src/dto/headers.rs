//! Request headers and path parameters, for the OpenAPI document alone: the extractors read them.

use utoipa::IntoParams;

use super::identifiers;

/// Makes a POST safe to repeat.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyHeader {
    /// 1 to 255 visible ASCII characters, kept for 24 hours. The same request with the same key is answered again with
    /// `Idempotency-Replayed: true` and changes nothing; another body with the same key is refused.
    #[param(
        rename = "Idempotency-Key",
        required = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]{1,255}$",
        example = "9f0c1d34-order-1042"
    )]
    pub idempotency_key: String,
}

/// How long the answer may take.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct PreferHeader {
    /// `wait=<seconds>` (0 to 60, default 10) or `respond-async` (RFC 7240): how long to wait for the outcome. The work
    /// goes on whether or not the client stays. What was applied comes back in `Preference-Applied`.
    #[param(rename = "Prefer", required = false, example = "wait=20")]
    pub prefer: String,
}

/// How long to wait for something new.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct PollHeader {
    /// `wait=<seconds>` (0 to 60, default 0; RFC 7240): how long to wait for the first row when there is none. What was
    /// applied comes back in `Preference-Applied`.
    #[param(rename = "Prefer", required = false, example = "wait=20")]
    pub prefer: String,
}

/// How long to wait for an order's outcome while reading it.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct SettledHeader {
    /// `wait=<seconds>` (0 to 60, default 0; RFC 7240): how long to wait while the order is `in_progress`. What was applied
    /// comes back in `Preference-Applied`.
    #[param(rename = "Prefer", required = false, example = "wait=20")]
    pub prefer: String,
}

/// A bundle of a profile.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct BundlePath {
    /// The profile. With and without a 20th digit it is the same SIM.
    #[param(value_type = identifiers::Iccid, inline)]
    pub iccid: String,
    /// The bundle.
    #[param(value_type = identifiers::BundleId, inline)]
    pub bundle: String,
}

macro_rules! paths {
    ($($name:ident { $field:ident: $schema:ident, $description:literal })*) => {$(
        #[doc = $description]
        #[derive(Debug, IntoParams)]
        #[into_params(parameter_in = Path)]
        pub struct $name {
            #[doc = $description]
            #[param(value_type = identifiers::$schema, inline)]
            pub $field: String,
        }
    )*};
}

paths! {
    OrderPath { id: OrderId, "The order." }
    HoldPath { id: HoldId, "The hold." }
    OperationPath { id: OperationId, "The operation." }
    ImportPath { id: ImportId, "The import." }
    ReconciliationPath { id: ReconciliationId, "The reconciliation." }
    LineJobPath { id: LineJobId, "The job." }
    AccountPath { account: AccountName, "The carrier account, as the configuration names it." }
    ApiKeyPath { id: ApiKeyId, "The key." }
    WebhookEndpointPath { id: WebhookEndpointId, "The endpoint." }
    ProfilePath { iccid: Iccid, "The profile. With and without a 20th digit it is the same SIM." }
    PoolPath { pool: PoolName, "The pool." }
    DevicePath { imei: Imei, "The device. Anything but 15 to 17 digits is 422 with the pointer `{imei}`." }
    RatePlanPath { rate_plan: CatalogueName, "The rate plan, as the carrier names it." }
    ServiceProfilePath { name: CatalogueName, "The service profile." }
}
