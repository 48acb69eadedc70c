//! Why there is no answer.

use simdepot_domain::carrier::{Answered, Lost, ReadError, Unavailable};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The request did not leave: no turn, no token, no connection.
    NotSent {
        /// Why, and when to come back.
        why: Unavailable,
        /// Whether it speaks against the carrier's health.
        carrier_down: bool,
    },
    /// The request may have arrived.
    Lost(Lost),
}

impl Failure {
    /// Given up on our side.
    pub fn waiting(reason: &str) -> Self {
        let why = Unavailable { reason: reason.to_owned(), retry_after_ms: None };
        Self::NotSent { why, carrier_down: false }
    }

    /// In words.
    pub fn into_reason(self) -> String {
        match self {
            Self::NotSent { why, .. } => why.reason,
            Self::Lost(lost) => lost.reason,
        }
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent { why, .. } => Self::Unavailable(why),
            Failure::Lost(lost) => {
                Self::Unavailable(Unavailable { reason: lost.reason, retry_after_ms: None })
            }
        }
    }
}

/// What a write without an answer comes to.
impl<T> From<Failure> for Answered<T> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent { why, .. } => Self::NotTaken(why),
            Failure::Lost(lost) => Self::Unknown(lost),
        }
    }
}
