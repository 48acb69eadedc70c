//! The port through which deliveries leave.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

/// Takes deliveries to their endpoints.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Sends a parcel once, follows no redirect, and returns within its time-out. Whether its address may be reached
    /// is checked here as well, on the address that is connected to: a name may mean another one by now.
    async fn deliver(&self, parcel: &Parcel) -> Reply;
}

/// One try of one delivery.
#[derive(Clone)]
pub struct Parcel {
    /// Where to.
    pub url: String,
    /// The header `webhook-id`: the event's id, the same on every try.
    pub id: String,
    /// The header `webhook-timestamp`: seconds since 1970, of this try.
    pub timestamp: i64,
    /// The header `webhook-signature`.
    pub signature: String,
    /// The bytes that are signed.
    pub body: Vec<u8>,
    /// How long the whole exchange may take.
    pub timeout: Duration,
}

/// Prints neither address nor body: an address may carry its owner's token.
impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel")
            .field("id", &self.id)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The endpoint answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The header `Retry-After`, as it came.
        retry_after: Option<String>,
    },
    /// There was no answer. The reason is shown to the endpoint's owner: it names no address.
    Failed {
        /// Why, in words.
        reason: String,
    },
}

impl Reply {
    /// The HTTP status, when there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            Self::Failed { .. } => None,
        }
    }

    /// Whether the endpoint has it: 2xx.
    pub fn is_success(&self) -> bool {
        matches!(self.status(), Some(200..=299))
    }

    /// Whether the endpoint said that it is gone for good (Standard Webhooks: 410).
    pub fn is_gone(&self) -> bool {
        self.status() == Some(410)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_address() {
        let parcel = Parcel {
            url: "https://example.com/hook?token=hunter2".to_owned(),
            id: "evt_1".to_owned(),
            timestamp: 1,
            signature: "v1,x".to_owned(),
            body: b"secret".to_vec(),
            timeout: Duration::from_secs(1),
        };
        assert_eq!(format!("{parcel:?}"), "Parcel { id: \"evt_1\", timestamp: 1, .. }");
    }
}
