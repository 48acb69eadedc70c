//! Events that a carrier sends, before they are read.

use thiserror::Error;

/// An event that is not the carrier's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EventRefused {
    /// The account has no secret to check events with.
    #[error("the account has no webhook_secret, so its events cannot be checked")]
    NotConfigured,
    /// There is no signature, or nothing that could be one. No body mends that.
    #[error("the signature is missing")]
    Unsigned,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
}

/// An event that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the event cannot be understood: {what}")]
pub struct UnreadableEvent {
    /// What was expected, without the content.
    pub what: String,
}
