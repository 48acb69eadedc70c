//! What every request passes, from outside to inside: [`head`], [`request_id`], the span of [`crate::telemetry`],
//! [`measure`], compression, [`authenticate`] with the rate limit.

pub mod authenticate;
pub mod head;
pub mod key_use;
pub(crate) mod known_keys;
pub mod measure;
pub mod rate_limit;
pub mod request_id;
