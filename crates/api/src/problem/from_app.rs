//! What errors of use cases look like from outside. Causes that concern the operator are logged here and not shown.

use std::time::Duration;

use simdepot_application::AppError;
use simdepot_domain::carrier::{ReadError, Refusal};
use simdepot_persistence::StoreError;

use super::{Problem, ProblemCode, ProblemField};

/// When to come back to a busy store or a request under way.
const SOON: Duration = Duration::from_secs(1);

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let detail = error.to_string();
        match error {
            AppError::Invalid(errors) => Self::invalid(errors.into_iter().map(ProblemField::from).collect()),
            AppError::NotFound { .. } => Self::new(ProblemCode::NotFound, detail),
            AppError::Forbidden { scope } => {
                Self::new(ProblemCode::Forbidden, detail).with("scope", scope.to_string())
            }
            AppError::OutOfStock { pool, requested, available } => Self::new(ProblemCode::OutOfStock, detail)
                .with("pool", pool)
                .with("requested", requested)
                .with("available", available),
            AppError::ReferenceConflict { reference, existing } => {
                Self::new(ProblemCode::ReferenceConflict, detail)
                    .with("reference", reference)
                    .with("existing", existing)
            }
            AppError::PoolExists => Self::new(ProblemCode::PoolExists, detail),
            AppError::HoldExpired { hold, status } => Self::new(ProblemCode::HoldExpired, detail)
                .with("hold_id", hold.to_string())
                .with("from", status.to_string()),
            AppError::IdempotencyKeyReused => Self::new(ProblemCode::IdempotencyKeyReused, detail),
            AppError::IdempotencyInFlight => {
                Self::new(ProblemCode::IdempotencyInFlight, detail).retry_after(SOON)
            }
            AppError::InvalidTransition { from, command, .. } => {
                Self::new(ProblemCode::InvalidTransition, detail).with("from", from).with("command", command)
            }
            AppError::CarrierRefused { order, bundle, refusal } => {
                let mut problem = refused(detail, refusal);
                if let Some(order) = order {
                    problem = problem.with("order_id", order.to_string());
                }
                if let Some(bundle) = bundle {
                    problem = problem.with("bundle_id", bundle.to_string());
                }
                problem
            }
            AppError::Unsupported { code } => {
                Self::new(ProblemCode::UnsupportedByCarrier, detail).with("carrier_code", code)
            }
            AppError::CarrierUnavailable(error) => unavailable(detail, error),
            AppError::ConfirmationRequired { .. } => Self::new(ProblemCode::ConfirmationRequired, detail),
            AppError::UnknownAccount { .. } => {
                tracing::error!(error = detail, "a pool names an account that is not configured");
                Self::new(ProblemCode::CarrierUnavailable, detail).retryable(false)
            }
            AppError::Store(error) => store(&error),
            AppError::Internal(cause) => {
                tracing::error!(error = cause, "internal error");
                internal()
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        store(&error)
    }
}

fn refused(detail: String, refusal: Refusal) -> Problem {
    let problem = Problem::new(ProblemCode::CarrierRefused, detail).with("carrier_code", refusal.code);
    match refusal.detail {
        Some(words) => problem.with("carrier_detail", words),
        None => problem,
    }
}

fn unavailable(detail: String, error: ReadError) -> Problem {
    tracing::warn!(%error, "the carrier cannot be asked");
    let problem = Problem::new(ProblemCode::CarrierUnavailable, detail);
    match error {
        ReadError::Unavailable(why) => match why.retry_after_ms {
            Some(wait) => problem.retry_after(Duration::from_millis(wait)),
            None => problem,
        },
        // A right that is missing does not come back by itself.
        ReadError::Denied { code } => problem.with("carrier_code", code).retryable(false),
        ReadError::Unreadable { .. } => problem,
    }
}

fn store(error: &StoreError) -> Problem {
    match error {
        // A lost race reaches the top only when it was lost again and again: for the client that is a busy store.
        StoreError::Busy
        | StoreError::Held
        | StoreError::Unreachable(_)
        | StoreError::GaveWay(_)
        | StoreError::RowsAffected { .. }
        | StoreError::Unique { .. } => {
            tracing::warn!(%error, "the store is busy");
            Problem::new(ProblemCode::Busy, "the database cannot take the request now").retry_after(SOON)
        }
        StoreError::Database(_)
        | StoreError::Inconsistency { .. }
        | StoreError::Vault(_)
        | StoreError::Migration(_)
        | StoreError::Aborted(_) => {
            tracing::error!(%error, "the store failed");
            internal()
        }
    }
}

fn internal() -> Problem {
    Problem::new(ProblemCode::Internal, "simdepot failed; its log has the cause under the request_id")
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError as _;
    use serde_json::{Value, json};
    use simdepot_application::FieldError;
    use simdepot_domain::carrier::{Concern, Unavailable};
    use simdepot_domain::channel::{AccountName, Scope};
    use simdepot_domain::hold::HoldStatus;
    use simdepot_domain::id::{HoldId, OrderId};
    use uuid::Uuid;

    use super::*;

    fn refusal() -> Refusal {
        Refusal { code: "X1".into(), detail: Some("no".into()), concerns: Concern::Request }
    }

    fn every_error() -> Vec<(AppError, u16, &'static str, bool, Option<&'static str>)> {
        let account = AccountName::parse("spc").unwrap();
        let order = Some(OrderId(Uuid::nil()));
        let away = |retry_after_ms| Unavailable { reason: "down".into(), retry_after_ms }.into();
        let denied = ReadError::Denied { code: "NO".into() };
        let unreadable = ReadError::Unreadable { what: "a list".into() };
        vec![
            (
                AppError::Invalid(vec![FieldError::new("/a", "range", "no")]),
                422,
                "validation-failed",
                false,
                None,
            ),
            (AppError::NotFound { what: "order" }, 404, "not-found", false, None),
            (AppError::Forbidden { scope: Scope::Stock }, 403, "forbidden", false, None),
            (
                AppError::OutOfStock { pool: "p".into(), requested: 2, available: 1 },
                409,
                "out-of-stock",
                false,
                None,
            ),
            (
                AppError::ReferenceConflict { reference: "r".into(), existing: "ord_1".into() },
                409,
                "reference-conflict",
                false,
                None,
            ),
            (AppError::PoolExists, 409, "pool-exists", false, None),
            (
                AppError::HoldExpired { hold: HoldId(Uuid::nil()), status: HoldStatus::Expired },
                409,
                "hold-expired",
                false,
                None,
            ),
            (AppError::IdempotencyKeyReused, 422, "idempotency-key-reused", false, None),
            (AppError::IdempotencyInFlight, 409, "idempotency-in-flight", true, Some("1")),
            (
                AppError::InvalidTransition {
                    from: "held".into(),
                    command: "retire".into(),
                    detail: "no".into(),
                },
                409,
                "invalid-transition",
                false,
                None,
            ),
            (
                AppError::CarrierRefused { order, bundle: None, refusal: refusal() },
                502,
                "carrier-refused",
                false,
                None,
            ),
            (
                AppError::Unsupported { code: "unsupported".into() },
                409,
                "unsupported-by-carrier",
                false,
                None,
            ),
            (AppError::CarrierUnavailable(away(Some(2500))), 503, "carrier-unavailable", true, Some("3")),
            (AppError::CarrierUnavailable(away(None)), 503, "carrier-unavailable", true, None),
            (AppError::CarrierUnavailable(denied), 503, "carrier-unavailable", false, None),
            (AppError::CarrierUnavailable(unreadable), 503, "carrier-unavailable", true, None),
            (AppError::UnknownAccount { account }, 503, "carrier-unavailable", false, None),
            (StoreError::Busy.into(), 503, "busy", true, Some("1")),
            (StoreError::Held.into(), 503, "busy", true, Some("1")),
            (StoreError::Unreachable("db secret-host".into()).into(), 503, "busy", true, Some("1")),
            (StoreError::Unique { constraint: "c".into() }.into(), 503, "busy", true, Some("1")),
            (
                StoreError::RowsAffected { what: "w", expected: 1, actual: 0 }.into(),
                503,
                "busy",
                true,
                Some("1"),
            ),
            (StoreError::Migration("secret-host".into()).into(), 500, "internal", true, None),
            (StoreError::Aborted("secret-host".into()).into(), 500, "internal", true, None),
            (AppError::Internal("secret-host".into()), 500, "internal", true, None),
        ]
    }

    #[test]
    fn every_error_has_its_status_and_code() {
        for (error, status, code, retryable, retry_after) in every_error() {
            let shown = format!("{error:?}");
            let problem = Problem::from(error);
            let answer = problem.error_response();
            let body: Value = serde_json::to_value(problem.details()).unwrap();
            assert_eq!(
                (answer.status().as_u16(), body["status"].clone()),
                (status, status.into()),
                "{shown}"
            );
            assert_eq!((&body["code"], &body["retryable"]), (&code.into(), &retryable.into()), "{shown}");
            let header = answer.headers().get("Retry-After").map(|value| value.to_str().unwrap());
            assert_eq!(header, retry_after, "{shown}");
            assert!(!body.to_string().contains("secret-host"), "{shown}");
        }
    }

    #[test]
    fn extensions_carry_what_clients_need() {
        let body = |error: AppError| serde_json::to_value(Problem::from(error).details()).unwrap();
        let stock = body(AppError::OutOfStock { pool: "p".into(), requested: 2, available: 1 });
        assert_eq!(
            (&stock["pool"], &stock["requested"], &stock["available"]),
            (&"p".into(), &2.into(), &1.into())
        );
        let order = Some(OrderId(Uuid::nil()));
        let refused = body(AppError::CarrierRefused { order, bundle: None, refusal: refusal() });
        assert_eq!(refused["order_id"], json!("ord_00000000000000000000000000"));
        assert_eq!((&refused["carrier_code"], &refused["carrier_detail"]), (&"X1".into(), &"no".into()));
        assert!(refused.get("bundle_id").is_none());
        let moved = body(AppError::InvalidTransition {
            from: "held".into(),
            command: "retire".into(),
            detail: "no".into(),
        });
        assert_eq!((&moved["from"], &moved["command"]), (&"held".into(), &"retire".into()));
        let fields = body(AppError::invalid("/a", "range", "must be 1"));
        assert_eq!(fields["errors"][0]["pointer"], "/a");
    }
}
