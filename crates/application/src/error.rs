//! What can go wrong in a use case, in the words of the public contract. The API turns it into problem details in one
//! of its last steps.

use serde_json::Value as Json;
use simdepot_domain::carrier::{Concern, ParameterProblem, ReadError, Refusal, UNSUPPORTED};
use simdepot_domain::channel::{AccountName, Scope};
use simdepot_domain::hold::HoldStatus;
use simdepot_domain::id::{BundleId, HoldId, OrderId};
use simdepot_persistence::StoreError;
use thiserror::Error;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body, or `?name` for a query parameter.
    pub pointer: String,
    /// Stable code.
    pub code: &'static str,
    /// What is wrong and what is expected.
    pub message: String,
}

impl FieldError {
    /// A field error.
    pub fn new(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, message: message.into() }
    }

    /// What an adapter finds wrong with a document that only it understands, by where that lies in the request.
    pub(crate) fn within(place: &str, problems: Vec<ParameterProblem>) -> impl Iterator<Item = Self> {
        problems.into_iter().map(move |ParameterProblem { pointer, code, message }| {
            Self::new(format!("{place}{pointer}"), code, message)
        })
    }
}

/// An error of a use case.
#[derive(Debug, Error)]
pub enum AppError {
    /// The request cannot be carried out as it is.
    #[error("the request is not valid")]
    Invalid(Vec<FieldError>),
    /// There is none, or the caller may not know of it.
    #[error("{what} not found")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// The key lacks a scope.
    #[error("this key lacks the scope {scope}")]
    Forbidden {
        /// Which.
        scope: Scope,
    },
    /// Not enough profiles; nothing was taken.
    #[error("pool {pool} has {available} profiles on sale, {requested} were asked for")]
    OutOfStock {
        /// Which pool.
        pool: String,
        /// How many were asked for.
        requested: u32,
        /// How many could have been sold.
        available: u64,
    },
    /// The reference was used for something else.
    #[error("the reference {reference} was used for another request ({existing})")]
    ReferenceConflict {
        /// The reference.
        reference: String,
        /// What it belongs to.
        existing: String,
    },
    /// The pool's name is taken.
    #[error("a pool of that name exists")]
    PoolExists,
    /// The hold reserves nothing any more.
    #[error(
        "the hold {hold} reserves nothing any more, it is {status}: make another hold, or order from the pool without one"
    )]
    HoldExpired {
        /// Which.
        hold: HoldId,
        /// How it ended.
        status: HoldStatus,
    },
    /// The idempotency key was used for another request.
    #[error("this Idempotency-Key was used for another request")]
    IdempotencyKeyReused,
    /// A request with the idempotency key is under way.
    #[error("a request with this Idempotency-Key is under way")]
    IdempotencyInFlight,
    /// The thing is not in a state for that.
    #[error("{detail}")]
    InvalidTransition {
        /// Where it stands.
        from: String,
        /// What was asked.
        command: String,
        /// Why not.
        detail: String,
    },
    /// The carrier refused, and the order or top-up failed for it.
    #[error("the carrier refused: {}", refusal.code)]
    CarrierRefused {
        /// The order, if it was one.
        order: Option<OrderId>,
        /// The bundle, if it was a top-up.
        bundle: Option<BundleId>,
        /// The refusal.
        refusal: Refusal,
    },
    /// The carrier does not have that, or not for this account.
    #[error(
        "the account's carrier does not have this ({code}); GET /v1/pools/{{pool}} lists its capabilities"
    )]
    Unsupported {
        /// The carrier's code, or our word for it.
        code: String,
    },
    /// The carrier cannot be asked now.
    #[error("the carrier cannot be asked: {0}")]
    CarrierUnavailable(ReadError),
    /// A pool names an account that is not configured.
    #[error("the carrier account {account} is not configured")]
    UnknownAccount {
        /// Which.
        account: AccountName,
    },
    /// What cannot be undone was not confirmed.
    #[error("{what} cannot be undone: confirm it with \"confirm\": true")]
    ConfirmationRequired {
        /// What was asked.
        what: &'static str,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An error that should not happen.
    #[error("{0}")]
    Internal(String),
}

/// What a carrier does not have it does not have later either.
impl From<ReadError> for AppError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Denied { code } if code == UNSUPPORTED => Self::Unsupported { code },
            error => Self::CarrierUnavailable(error),
        }
    }
}

impl AppError {
    /// The carrier has no such thing at all.
    pub fn unsupported() -> Self {
        Self::Unsupported { code: UNSUPPORTED.to_owned() }
    }

    /// One field is wrong.
    pub fn invalid(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, code, message)])
    }

    /// An order or top-up that failed for the refusal recorded with it.
    pub(crate) fn carrier_refused(
        order: Option<OrderId>,
        bundle: Option<BundleId>,
        problem: Option<Json>,
    ) -> Self {
        let refusal = problem.and_then(|problem| serde_json::from_value(problem).ok()).unwrap_or(Refusal {
            code: "unknown".to_owned(),
            detail: None,
            concerns: Concern::Request,
        });
        Self::CarrierRefused { order, bundle, refusal }
    }

    /// Whether the database could not be asked at all: the same may succeed in a moment.
    pub fn is_outage(&self) -> bool {
        self.outage().is_some()
    }

    /// The same outage for another one of a batch, if it is one.
    pub(crate) fn outage(&self) -> Option<Self> {
        match self {
            Self::Store(StoreError::Busy) => Some(Self::Store(StoreError::Busy)),
            Self::Store(StoreError::Unreachable(why)) => {
                Some(Self::Store(StoreError::Unreachable(why.clone())))
            }
            _ => None,
        }
    }

    /// Whether the same write may succeed later: the database did not take it, and it was not about what the rows say.
    /// A database in the middle of a fail-over, or with a full disk, is more than busy.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Store(
                StoreError::Busy
                    | StoreError::Held
                    | StoreError::Unreachable(_)
                    | StoreError::Database(_)
                    | StoreError::GaveWay(_)
                    | StoreError::Aborted(_)
            )
        )
    }

    /// Whether somebody else changed the same thing in between: read again, then decide again.
    pub fn is_race(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::RowsAffected { .. } | StoreError::Unique { .. } | StoreError::GaveWay(_))
        )
    }
}
