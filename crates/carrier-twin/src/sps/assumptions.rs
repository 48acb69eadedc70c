//! What the published SPS pages leave open, as numbered assumptions, each with a switch. None of the defaults is the
//! operator's contract.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How exactly the twin reads requests (S1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// To the letter of the schemas. Refused are: `eSimDeliveryMethod` in an activation and `eSIMDeliveryMethod` in a
    /// change, a GPSI as a number, fractions in `billCycleStartDay`, an ICCID in `pei`, and what does not fit the
    /// supported scenarios.
    Strict,
    /// As the published examples are written: either spelling, a GPSI as a number or of 10 digits, an ICCID in `pei`
    /// or in `iccid`, and no check of the scenarios.
    Lenient,
}

/// What the transaction status answers (S3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionProfile {
    /// The words of [`SpsAssumptions`].
    Assumed,
    /// `{"status":"Success"}` for every known transaction, as in the only published sample.
    SeedLiteral,
}

/// When it is checked that a line's state takes a write (S5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateCheck {
    /// Before the acknowledgement: 404 or 409. What has changed since fails the transaction.
    Synchronous,
    /// After it: the write is acknowledged, and its transaction fails.
    Late,
}

/// How answers and notifications write a GPSI (S17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpsiForm {
    /// A string of 11 to 15 digits.
    E164,
    /// Without the country code of North America, as in a published sample.
    TenDigits,
    /// A number, as in another.
    Number,
}

/// The switches. Over HTTP: `GET` and `PATCH /_twin/assumptions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpsAssumptions {
    /// S1: how exactly requests are read.
    pub reading: Reading,
    /// S2: whether `X-Correlation-Id` must be a UUID when it is sent.
    pub strict_uuid: bool,
    /// S3: what the transaction status answers.
    pub transaction_profile: TransactionProfile,
    /// S3: the word for a transaction that is accepted.
    pub accepted_word: String,
    /// S3: the word for a transaction that is being carried out.
    pub in_progress_word: String,
    /// S3: the word for a transaction that ended well, in notifications too.
    pub completed_word: String,
    /// S3: the word for a transaction that did not, in notifications too.
    pub failed_word: String,
    /// S3: whether the status of a failed transaction has `reasonCode` and `reasonDesc`.
    pub status_has_reason: bool,
    /// S4: how long after its acknowledgement a transaction is taken up, in milliseconds.
    pub pickup_delay_ms: u64,
    /// S4: how long after its acknowledgement a transaction ends, in milliseconds.
    pub completion_delay_ms: u64,
    /// S5: when a line's state is checked.
    pub state_check: StateCheck,
    /// S5: whether a line with a transaction that has not ended refuses further writes.
    pub one_transaction_per_line: bool,
    /// S6: whether a suspended subscription may be ceased.
    pub cease_from_suspended: bool,
    /// S7: whether `Reactivate` is taken; otherwise it is 400.
    pub reactivate_accepted: bool,
    /// S8: whether a repeated `partnerTransactionId` with the same body is acknowledged again, without a second effect;
    /// otherwise it is 409. With another body it always is.
    pub repeats_acknowledged: bool,
    /// S9: whether the end of a transaction is told.
    pub notifications: bool,
    /// S9: notifications of 1000 that are sent twice, under one id.
    pub notification_duplicates_per_mille: u16,
    /// S9: notifications of 1000 that come late.
    pub notification_late_per_mille: u16,
    /// S9: how late, in seconds.
    pub notification_late_seconds: u32,
    /// S9: notifications of 1000 that overtake the one before.
    pub notification_reordered_per_mille: u16,
    /// S9: notifications of 1000 that are never sent.
    pub notification_lost_per_mille: u16,
    /// S9: whether a transaction ends, and is told, before its write is acknowledged.
    pub notification_before_ack: bool,
    /// S9: how long the acknowledgement waits then, in milliseconds.
    pub ack_hold_ms: u64,
    /// S10: whether the notification of a completed eSIM has its activation code.
    pub activation_code_in_notification: bool,
    /// S11: `eventType` of an activation.
    pub activate_event: String,
    /// S11: `eventType` of a status update.
    pub status_event: String,
    /// S11: `eventType` of a change of device or SIM.
    pub change_event: String,
    /// S11: `eventType` of a change of the blocklist.
    pub block_list_event: String,
    /// S11: `eventType` of what the operator does by itself; empty for none.
    pub operator_event: String,
    /// S12: time between two attempts at a notification, in seconds of the twin's clock.
    pub webhook_retry_seconds: u32,
    /// S12: how often a notification is tried again before it is lost.
    pub webhook_retries: u32,
    /// S13: life of an access token, in seconds.
    pub token_lifetime_seconds: u32,
    /// S13: status of bad credentials.
    pub bad_credentials_status: u16,
    /// S14: status of an unknown line, SIM, device, reservation or transaction.
    pub unknown_status: u16,
    /// S14: status of a write that the line's state does not take.
    pub conflict_status: u16,
    /// S15: requests per second and account before 429; `null` for no limit.
    pub rate_limit_per_second: Option<u32>,
    /// S15: `Retry-After` of such a 429, in seconds.
    pub retry_after_seconds: Option<u32>,
    /// S16: whether a device that the operator did not sell needs an EID with an eSIM; for changes of device and eSIM
    /// and for activations.
    pub byod_needs_eid: bool,
    /// S16: whether devices on the blocklist and devices that fit no network are refused.
    pub devices_checked: bool,
    /// S16: whether a number must be reserved before it is asked for.
    pub reservations_checked: bool,
    /// S16: whether a subscriber may have one subscription only.
    pub one_subscription_per_subscriber: bool,
    /// S16: whether only the operator ends a suspension of its own.
    pub operator_suspension_holds: bool,
    /// S17: how a GPSI is written.
    pub gpsi_form: GpsiForm,
    /// S17: whether identifiers have the prefixes of the 5G core: `msisdn-`, `imsi-`, `imei-`, `imeisv-`.
    pub prefixed_identifiers: bool,
    /// S17: the word for an active subscription, in `deviceStatus` and in notifications.
    pub active_word: String,
    /// S17: the word for a suspended one.
    pub suspended_word: String,
    /// S17: the word for a ceased one.
    pub ceased_word: String,
    /// S17: whether every object of every answer has a field that no page names.
    pub unknown_fields: bool,
    /// S18: the time zone of the default bill day, in minutes ahead of UTC.
    pub bill_day_offset_minutes: i32,
}

impl Default for SpsAssumptions {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            reading: Reading::Strict,
            strict_uuid: false,
            transaction_profile: TransactionProfile::Assumed,
            accepted_word: text("InProgress"),
            in_progress_word: text("InProgress"),
            completed_word: text("Completed"),
            failed_word: text("Failed"),
            status_has_reason: true,
            pickup_delay_ms: 500,
            completion_delay_ms: 2000,
            state_check: StateCheck::Synchronous,
            one_transaction_per_line: false,
            cease_from_suspended: false,
            reactivate_accepted: true,
            repeats_acknowledged: true,
            notifications: true,
            notification_duplicates_per_mille: 0,
            notification_late_per_mille: 0,
            notification_late_seconds: 600,
            notification_reordered_per_mille: 0,
            notification_lost_per_mille: 0,
            notification_before_ack: false,
            ack_hold_ms: 250,
            activation_code_in_notification: true,
            activate_event: text("ActivateSubscription"),
            status_event: text("UpdateSubscriptionStatus"),
            change_event: text("ChangeDeviceSIM"),
            block_list_event: text("BlockListDevice"),
            operator_event: String::new(),
            webhook_retry_seconds: 60,
            webhook_retries: 5,
            token_lifetime_seconds: 3600,
            bad_credentials_status: 401,
            unknown_status: 404,
            conflict_status: 409,
            rate_limit_per_second: None,
            retry_after_seconds: None,
            byod_needs_eid: true,
            devices_checked: true,
            reservations_checked: true,
            one_subscription_per_subscriber: false,
            operator_suspension_holds: true,
            gpsi_form: GpsiForm::E164,
            prefixed_identifiers: false,
            active_word: text("Active"),
            suspended_word: text("Suspended"),
            ceased_word: text("Ceased"),
            unknown_fields: true,
            bill_day_offset_minutes: 0,
        }
    }
}

impl SpsAssumptions {
    /// These assumptions with the fields of a JSON object in place of theirs.
    ///
    /// # Errors
    /// The text says which field is unknown, has the wrong type, or is out of range.
    pub fn patched(&self, patch: &Value) -> Result<Self, String> {
        let fields = patch.as_object().ok_or("expected an object of assumptions to change")?;
        let mut whole = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Some(object) = whole.as_object_mut() {
            object.extend(fields.clone());
        }
        let patched: Self = serde_json::from_value(whole).map_err(|error| error.to_string())?;
        for (name, status) in [
            ("bad_credentials_status", patched.bad_credentials_status),
            ("unknown_status", patched.unknown_status),
            ("conflict_status", patched.conflict_status),
        ] {
            if !(400..=599).contains(&status) {
                return Err(format!("{name} must be an HTTP status of 400 to 599"));
            }
        }
        for (name, chance) in [
            ("notification_duplicates_per_mille", patched.notification_duplicates_per_mille),
            ("notification_late_per_mille", patched.notification_late_per_mille),
            ("notification_reordered_per_mille", patched.notification_reordered_per_mille),
            ("notification_lost_per_mille", patched.notification_lost_per_mille),
        ] {
            if chance > 1000 {
                return Err(format!("{name} must be 0 to 1000"));
            }
        }
        if patched.bill_day_offset_minutes.abs() > 14 * 60 {
            return Err("bill_day_offset_minutes must be within 14 hours of UTC".to_owned());
        }
        Ok(patched)
    }

    /// Whether requests are read to the letter.
    pub(super) fn strict(&self) -> bool {
        self.reading == Reading::Strict
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_changes_what_it_names() {
        let patched = SpsAssumptions::default()
            .patched(&json!({"reading": "lenient", "state_check": "late", "completed_word": "Success"}))
            .unwrap();
        assert!(!patched.strict() && patched.unknown_fields);
        assert_eq!((patched.state_check, patched.completed_word.as_str()), (StateCheck::Late, "Success"));
    }

    #[test]
    fn a_bad_patch_is_named() {
        let refuse = |patch| SpsAssumptions::default().patched(&patch).unwrap_err();
        assert!(refuse(json!({"readding": "strict"})).contains("readding"));
        assert!(refuse(json!({"conflict_status": 200})).contains("conflict_status"));
        assert!(refuse(json!({"notification_lost_per_mille": 1001})).contains("notification_lost_per_mille"));
        assert!(refuse(json!({"bill_day_offset_minutes": -900})).contains("bill_day_offset_minutes"));
        assert!(refuse(json!([])).contains("object"));
    }
}
