//! Where a notification says what. No page shows one, so every place is a setting.

use serde_json::Value;
use simdepot_carrier_http::lenient;
use thiserror::Error;

/// A field of a notification that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("is not known; known are {known}")]
pub struct UnknownField {
    /// Those that there are.
    pub known: String,
}

/// Declares the places once: their names in the settings, and where they are unless an account says otherwise.
macro_rules! places {
    ($($(#[$doc:meta])* $name:ident = $place:literal as $setting:literal,)+) => {
        /// Where a notification says what; a dot leads into an object.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct NotificationFields {
            $($(#[$doc])* pub $name: String,)+
        }

        impl Default for NotificationFields {
            fn default() -> Self {
                Self { $($name: $place.to_owned(),)+ }
            }
        }

        impl NotificationFields {
            /// Sets the place of one field.
            ///
            /// # Errors
            /// When there is no such field.
            pub fn set(&mut self, name: &str, place: &str) -> Result<(), UnknownField> {
                match name {
                    $(stringify!($name) => self.$name = place.to_owned(),)+
                    _ => return Err(UnknownField { known: [$(stringify!($name)),+].join(", ") }),
                }
                Ok(())
            }

            /// Checks that every place is one.
            ///
            /// # Errors
            /// The first that is wrong, and what it should be.
            pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
                $(if !is_place(&self.$name) {
                    return Err(($setting, "the name of a field, with dots into objects"));
                })+
                Ok(())
            }
        }
    };
}

places! {
    /// The id of the notification, the same when it is repeated.
    event_id = "eventId" as "notification.event_id",
    /// What kind of event it is.
    event_type = "eventType" as "notification.event_type",
    /// When it happened.
    event_time = "eventTime" as "notification.event_time",
    /// Our number of the command.
    reference = "partnerTransactionId" as "notification.reference",
    /// How the command stands.
    status = "status" as "notification.status",
    /// Why it failed, as a code.
    reason_code = "reasonCode" as "notification.reason_code",
    /// Why it failed, in words.
    reason = "reasonDesc" as "notification.reason",
    /// The SIM.
    iccid = "subscription.iccid" as "notification.iccid",
    /// The line's number.
    msisdn = "subscription.gpsi" as "notification.msisdn",
    /// How the line stands.
    line_status = "subscription.status" as "notification.line_status",
    /// The code of the line's eSIM.
    activation_code = "eSim.activationCode" as "notification.activation_code",
}

fn is_place(place: &str) -> bool {
    let named = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@'))
    };
    place.split('.').all(named)
}

/// What is at a place.
pub(crate) fn at<'a>(document: &'a Value, place: &str) -> Option<&'a Value> {
    place.split('.').try_fold(document, |value, name| value.get(name)).filter(|value| !value.is_null())
}

/// The text at a place, however long it is.
pub(crate) fn text_at(document: &Value, place: &str) -> Option<String> {
    lenient::text(at(document, place)?).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_leads_into_objects() {
        let document = json!({ "a": { "b": " x ", "n": 7, "null": null }, "a.b": "no" });
        assert_eq!(text_at(&document, "a.b").as_deref(), Some("x"));
        assert_eq!(text_at(&document, "a.n").as_deref(), Some("7"));
        for none in ["a.null", "a", "b", "a.b.c", "a.c"] {
            assert_eq!(text_at(&document, none), None, "{none}");
        }
    }

    #[test]
    fn places_are_set_by_name() {
        let mut fields = NotificationFields::default();
        fields.set("reference", "transaction.partner-id").unwrap();
        assert_eq!(fields.reference, "transaction.partner-id");
        assert_eq!(fields.check(), Ok(()));
        let unknown = fields.set("colour", "x").unwrap_err().to_string();
        assert!(unknown.contains("event_id, event_type") && unknown.contains("activation_code"), "{unknown}");
        for bad in ["", ".", "a.", ".a", "a b", "a/b"] {
            fields.set("iccid", bad).unwrap();
            assert_eq!(fields.check().unwrap_err().0, "notification.iccid", "{bad}");
        }
    }
}
