//! What Transatel's public documentation leaves open, as numbered assumptions, each with a switch.
//!
//! The default is the assumption as written. A test turns one over to prove that its client does not depend on it.

use serde::{Deserialize, Serialize};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::sim::SimStatus;

use crate::line_operation::{LineEvent, LineOperation, Offer};

/// One step of checking a product order (A2). The shape of the body is always checked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderCheck {
    /// `mvnoRef` is the account's: `INSUFFICIENT_PERMISSION`.
    Account,
    /// The MSISDN is one of the account's lines: `SUBSCRIBER_NOT_FOUND`.
    Subscriber,
    /// The product is in the class of service: `PRODUCT_NOT_FOUND`.
    Product,
    /// The line's status fits the order type: `SUBSCRIBER_STATUS_NOT_ELIGIBLE`.
    Status,
    /// `payment.provider` is `customer`: `BAD_REQUEST`.
    Payment,
}

/// When a plan starts (A4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanStart {
    /// At the first attach in a country of the product.
    FirstAttach,
    /// `subscribe` starts it at once; `preload` still waits.
    Order,
}

/// What becomes of a plan whose data is used up (A5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExhaustedPlan {
    /// It stays `active` with 0 left and keeps the next plan of its country waiting until it expires.
    StaysActive,
    /// It stays `active` with 0 left, and the next attach starts the next plan.
    MakesRoom,
    /// It becomes `terminated` at once.
    Terminates,
}

/// The switches. Over HTTP: `GET` and `PATCH /_twin/assumptions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Assumptions {
    /// A1: life of an access token, in seconds.
    pub token_lifetime_seconds: u32,
    /// A1: whether the token reply names its `scope`.
    pub token_scope_returned: bool,
    /// A1: status of bad credentials (`invalid_client`).
    pub bad_credentials_status: u16,
    /// A2: the order in which a product order is checked; a step left out is not checked.
    pub order_checks: Vec<OrderCheck>,
    /// A2: status of an accepted order.
    pub order_accepted_status: u16,
    /// A2: status of `INSUFFICIENT_PERMISSION`, for orders and for the catalogue.
    pub insufficient_permission_status: u16,
    /// A2: status of `SUBSCRIBER_NOT_FOUND`, `PRODUCT_NOT_FOUND` and `SUBSCRIBER_STATUS_NOT_ELIGIBLE` on orders.
    pub order_refused_status: u16,
    /// A3: line statuses that accept `preload`.
    pub preload_statuses: Vec<SimStatus>,
    /// A3: line statuses that accept `subscribe`.
    pub subscribe_statuses: Vec<SimStatus>,
    /// A3: whether a line may hold several plans; if not, a further order is `PRODUCT_NOT_ELIGIBLE`.
    pub several_plans_per_line: bool,
    /// A3: whether an order whose `transactionReference` is known answers the first order again.
    pub deduplicate_orders: bool,
    /// A4: when a plan starts.
    pub plan_start: PlanStart,
    /// A4: how long a plan may wait for its start when the product does not say, in months.
    pub deferred_period_months: u32,
    /// A5: whether the oldest waiting plan starts first; otherwise the newest.
    pub oldest_plan_first: bool,
    /// A5: what becomes of a plan whose data is used up.
    pub exhausted_plan: ExhaustedPlan,
    /// A6: whether an inventory read without `statuses` also shows `terminated`.
    pub inventory_default_shows_terminated: bool,
    /// A6: whether an unknown MSISDN is 404 `SUBSCRIBER_NOT_FOUND`; otherwise an empty list.
    pub inventory_unknown_msisdn_is_404: bool,
    /// A6: whether `statuses` filters (repeated values = OR); otherwise it is ignored.
    pub inventory_filters_statuses: bool,
    /// A6: whether a comma inside `statuses` is 400; otherwise it separates values.
    pub inventory_refuses_commas: bool,
    /// A7: earliest profile status that shows activation code, matching id and QR code.
    pub esim_code_from: EsimStatus,
    /// A7: earliest profile status that shows the EID.
    pub esim_eid_from: EsimStatus,
    /// A7: whether `history=true` adds `history`.
    pub esim_history: bool,
    /// A7: whether `PATCH` (release) is open to the account.
    pub esim_patch_open: bool,
    /// A8: whether a deleted profile can be downloaded again.
    pub deleted_profile_downloads_again: bool,
    /// A8: whether a failed profile operation yields an `…/ESIM/ERROR` event.
    pub failed_operation_event: bool,
    /// A9: whether the first attach activates a pre-activated line.
    pub attach_activates_line: bool,
    /// A9: longest random delay of an event, in seconds.
    pub event_jitter_seconds: u32,
    /// A9: events of 1000 that are written twice, under one id.
    pub event_duplicates_per_mille: u16,
    /// A9: events of 1000 that are written before the one that happened earlier.
    pub event_reordered_per_mille: u16,
    /// A10: what the account has bought, which decides which line statuses take which write.
    pub offer: Offer,
    /// A10: writes without `ratePlan` that are 400 `BAD_REQUEST`.
    pub rate_plan_required: Vec<LineOperation>,
    /// A10: line statuses that take `terminate`; for `Tariff_Holiday` and `Pre-Activated` it is not known.
    pub terminate_statuses: Vec<SimStatus>,
    /// A10: how long an accepted write takes, in milliseconds.
    pub transaction_delay_ms: u64,
    /// A10: whether a line with a pending transaction refuses further writes with 400 `TRANSACTION_PENDING`.
    pub one_transaction_per_line: bool,
    /// A10: whether a transaction that fails has an event, with `status: "ERROR"`.
    pub failed_transaction_event: bool,
    /// A10: when the event of a write comes.
    pub line_event: LineEvent,
    /// A10: how long after its transaction a tariff holiday begins, in milliseconds: the first day of the next bill
    /// cycle.
    pub tariff_holiday_delay_ms: u64,
    /// A10: data that a line in test mode may use, in KB, before it becomes active; `null` for no limit.
    pub test_mode_quota_kb: Option<u64>,
    /// Event of a preactivation, after `CONNECTIVITY-MANAGEMENT/`; empty for none. The name is not public.
    pub preactivated_event: String,
    /// Event of a test mode, after `CONNECTIVITY-MANAGEMENT/`; empty for none. The name is not public.
    pub test_mode_event: String,
    /// Event of a tariff holiday, after `CONNECTIVITY-MANAGEMENT/`; empty for none. The name is not public.
    pub tariff_holiday_event: String,
    /// Data left of a plan, in percent, at which its customer is warned; 0 for never.
    pub resource_threshold_percent: u8,
    /// Event of that warning; empty for none.
    pub resource_threshold_event: String,
    /// A11: whether the account has connectivity management; otherwise the whole domain lists `OPTIONS` and answers
    /// 403.
    pub connectivity_open: bool,
    /// A12: whether only 204 counts as delivered; otherwise every 2xx.
    pub webhook_only_204: bool,
    /// A12: time between two attempts at an event, in seconds of the twin's clock.
    pub webhook_retry_seconds: u32,
    /// A12: how often an event is tried again before the stream is suspended.
    pub webhook_retries: u32,
    /// A13: how far SIM Search is behind, in seconds.
    pub sim_search_lag_seconds: u32,
    /// A13: whether SIM Search prints the MSISDN with `+`.
    pub sim_search_plus: bool,
    /// A14: requests per second and account before 429; `null` for no limit, as no number is published.
    pub rate_limit_per_second: Option<u32>,
    /// A14: `Retry-After` of such a 429, in seconds.
    pub retry_after_seconds: Option<u32>,
    /// A15: content type of error bodies.
    pub error_content_type: String,
    /// A16: whether every object of every reply has a field that no document names.
    pub unknown_fields: bool,
    /// Both shapes of a single catalogue product are reported: wrapped as a list of one, or bare.
    pub single_product_wrapped: bool,
}

impl Default for Assumptions {
    fn default() -> Self {
        use OrderCheck::{Account, Payment, Product, Status, Subscriber};
        Self {
            token_lifetime_seconds: 3600,
            token_scope_returned: true,
            bad_credentials_status: 401,
            order_checks: vec![Account, Subscriber, Product, Status, Payment],
            order_accepted_status: 201,
            insufficient_permission_status: 403,
            order_refused_status: 400,
            preload_statuses: vec![SimStatus::Preactivated],
            subscribe_statuses: vec![SimStatus::Active],
            several_plans_per_line: true,
            deduplicate_orders: false,
            plan_start: PlanStart::FirstAttach,
            deferred_period_months: 6,
            oldest_plan_first: true,
            exhausted_plan: ExhaustedPlan::StaysActive,
            inventory_default_shows_terminated: false,
            inventory_unknown_msisdn_is_404: true,
            inventory_filters_statuses: true,
            inventory_refuses_commas: true,
            esim_code_from: EsimStatus::Released,
            esim_eid_from: EsimStatus::Downloaded,
            esim_history: true,
            esim_patch_open: false,
            deleted_profile_downloads_again: false,
            failed_operation_event: true,
            attach_activates_line: true,
            event_jitter_seconds: 0,
            event_duplicates_per_mille: 0,
            event_reordered_per_mille: 0,
            offer: Offer::Spc,
            rate_plan_required: LineOperation::ALL.to_vec(),
            terminate_statuses: vec![SimStatus::Active, SimStatus::Suspended, SimStatus::TestMode],
            transaction_delay_ms: 5000,
            one_transaction_per_line: false,
            failed_transaction_event: false,
            line_event: LineEvent::After,
            tariff_holiday_delay_ms: 0,
            test_mode_quota_kb: None,
            preactivated_event: "SUBSCRIBER/PREACTIVATED".to_owned(),
            test_mode_event: "SUBSCRIBER/TESTMODE".to_owned(),
            tariff_holiday_event: "SUBSCRIBER/TARIFF_HOLIDAY".to_owned(),
            resource_threshold_percent: 20,
            resource_threshold_event: "OCS/RESOURCE/THRESHOLD".to_owned(),
            connectivity_open: false,
            webhook_only_204: false,
            webhook_retry_seconds: 600,
            webhook_retries: 60,
            sim_search_lag_seconds: 60,
            sim_search_plus: true,
            rate_limit_per_second: None,
            retry_after_seconds: None,
            error_content_type: "application/problem+json".to_owned(),
            unknown_fields: true,
            single_product_wrapped: true,
        }
    }
}

impl Assumptions {
    /// These assumptions with the fields of a JSON object in place of theirs.
    ///
    /// # Errors
    /// The text says which field is unknown, has the wrong type, or is no HTTP status.
    pub fn patched(&self, patch: &serde_json::Value) -> Result<Self, String> {
        let fields = patch.as_object().ok_or("expected an object of assumptions to change")?;
        let mut whole = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Some(object) = whole.as_object_mut() {
            object.extend(fields.clone());
        }
        let patched: Self = serde_json::from_value(whole).map_err(|error| error.to_string())?;
        for (name, status) in [
            ("bad_credentials_status", patched.bad_credentials_status),
            ("order_accepted_status", patched.order_accepted_status),
            ("insufficient_permission_status", patched.insufficient_permission_status),
            ("order_refused_status", patched.order_refused_status),
        ] {
            if !(200..=599).contains(&status) {
                return Err(format!("{name} must be an HTTP status of 200 to 599"));
            }
        }
        if patched.error_content_type.is_empty()
            || !patched.error_content_type.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err("error_content_type must be a media type without spaces".to_owned());
        }
        Ok(patched)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_changes_what_it_names() {
        let patched = Assumptions::default()
            .patched(
                &json!({"connectivity_open": true, "order_checks": ["payment"], "retry_after_seconds": 2}),
            )
            .unwrap();
        assert!(patched.connectivity_open && patched.unknown_fields);
        assert_eq!((patched.order_checks, patched.retry_after_seconds), (vec![OrderCheck::Payment], Some(2)));
    }

    #[test]
    fn a_bad_patch_is_named() {
        let refuse = |patch| Assumptions::default().patched(&patch).unwrap_err();
        assert!(refuse(json!({"conectivity_open": true})).contains("conectivity_open"));
        assert!(refuse(json!({"order_refused_status": 42})).contains("order_refused_status"));
        assert!(refuse(json!({"error_content_type": "a b"})).contains("error_content_type"));
        assert!(refuse(json!([])).contains("object"));
    }
}
