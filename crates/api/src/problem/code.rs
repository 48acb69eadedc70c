//! The stable codes of problems.

use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// Stable code of a problem.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema, strum::Display, strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ProblemCode {
    /// Not HTTP as this API speaks it.
    BadRequest,
    /// The body is not JSON.
    MalformedBody,
    /// No API key, or one that does not work.
    Unauthenticated,
    /// The key lacks a scope.
    Forbidden,
    /// There is none, or not for this key.
    NotFound,
    /// The path is known, the method is not.
    MethodNotAllowed,
    /// The body is too long.
    PayloadTooLarge,
    /// The body is not of the expected type.
    UnsupportedMediaType,
    /// The pool has not enough profiles; nothing was taken.
    OutOfStock,
    /// The reference belongs to another request.
    ReferenceConflict,
    /// A pool of that name exists.
    PoolExists,
    /// The hold reserves nothing any more.
    HoldExpired,
    /// The thing is not in a state for that.
    InvalidTransition,
    /// The carrier, or this account of it, does not have that.
    UnsupportedByCarrier,
    /// A request with the same idempotency key is under way.
    IdempotencyInFlight,
    /// Fields are wrong.
    ValidationFailed,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    /// Too many requests.
    RateLimited,
    /// simdepot failed; the log has the cause.
    Internal,
    /// The carrier refused.
    CarrierRefused,
    /// The carrier cannot be asked now.
    CarrierUnavailable,
    /// simdepot is busy.
    Busy,
}

impl ProblemCode {
    /// The status that goes with the code.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::MalformedBody => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::OutOfStock
            | Self::ReferenceConflict
            | Self::PoolExists
            | Self::HoldExpired
            | Self::InvalidTransition
            | Self::UnsupportedByCarrier
            | Self::IdempotencyInFlight => StatusCode::CONFLICT,
            Self::ValidationFailed | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::CarrierRefused => StatusCode::BAD_GATEWAY,
            Self::CarrierUnavailable | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The kind of problem in words.
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad request",
            Self::MalformedBody => "Malformed body",
            Self::Unauthenticated => "Unauthenticated",
            Self::Forbidden => "Scope missing",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::PayloadTooLarge => "Payload too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::OutOfStock => "Out of stock",
            Self::ReferenceConflict => "Reference used for another request",
            Self::PoolExists => "Pool exists",
            Self::HoldExpired => "Hold expired",
            Self::InvalidTransition => "Not possible in this state",
            Self::UnsupportedByCarrier => "Not supported by the carrier",
            Self::IdempotencyInFlight => "Same request under way",
            Self::ValidationFailed => "Validation failed",
            Self::IdempotencyKeyReused => "Idempotency key used for another request",
            Self::RateLimited => "Too many requests",
            Self::Internal => "Internal error",
            Self::CarrierRefused => "Refused by the carrier",
            Self::CarrierUnavailable => "Carrier unavailable",
            Self::Busy => "Busy",
        }
    }

    /// Whether the same request may succeed later without a change. Stock comes back by deliveries, not by waiting a
    /// moment, so `out-of-stock` is not among them.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::IdempotencyInFlight
                | Self::RateLimited
                | Self::Internal
                | Self::CarrierUnavailable
                | Self::Busy
        )
    }

    /// The code for a status that the framework answered by itself.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthenticated,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            StatusCode::SERVICE_UNAVAILABLE => Self::Busy,
            status if status.is_server_error() => Self::Internal,
            _ => Self::BadRequest,
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn every_code_is_an_error_and_prints_as_it_is_serialised() {
        for code in ProblemCode::VARIANTS {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code}");
            assert_eq!(serde_json::to_value(code).unwrap(), code.to_string());
        }
        assert_eq!(ProblemCode::IdempotencyInFlight.to_string(), "idempotency-in-flight");
    }

    #[test]
    fn the_documented_codes_are_these() {
        let document = include_str!("../../../../docs/API-DESIGN.md");
        let table =
            document.split("| status | codes |\n|---|---|\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let mut documented = Vec::new();
        for row in table.lines() {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            let [statuses, codes] = cells[..] else { panic!("{row}") };
            // What stands in brackets are fields and remarks.
            let codes = codes.split('(').map(|part| part.rsplit(')').next().unwrap());
            for code in codes.flat_map(|part| part.split('`').skip(1).step_by(2)) {
                documented.push((code.to_owned(), statuses.to_owned()));
            }
        }
        for code in ProblemCode::VARIANTS {
            let place = documented.iter().position(|(documented, _)| *documented == code.to_string());
            let (_, statuses) =
                documented.swap_remove(place.unwrap_or_else(|| panic!("{code} is not documented")));
            assert!(statuses.contains(code.status().as_str()), "{code} is documented as {statuses}");
        }
        assert!(documented.is_empty(), "there are no such codes: {documented:?}");
    }
}
