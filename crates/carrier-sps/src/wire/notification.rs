//! Notifications of completion. No page shows one, so what is where is a setting, and one proves nothing by itself: what it
//! tells is hearsay that a read must confirm.

use serde_json::Value;
use simdepot_carrier_http::lenient::{parse_moment, plausible};
use simdepot_carrier_http::text::printable;
use simdepot_carrier_http::usable;
use simdepot_carrier_http::words::Verdict;
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::carrier::{ReadError, UnreadableEvent};
use simdepot_domain::carrier_event::{CarrierEvent, LineChange, LineNews, News};
use simdepot_domain::sim::SimStatus;

use super::{identity, problem};
use crate::notification::{at, text_at};
use crate::settings::SpsSettings;

/// What an event is called that does not say its type.
const UNTYPED: &str = "NOTIFICATION";

/// Reads a notification to an account with these settings.
pub(crate) fn parse(bytes: &[u8], settings: &SpsSettings) -> Result<CarrierEvent, UnreadableEvent> {
    let expected = |what: &str| UnreadableEvent { what: what.to_owned() };
    // serde's message may quote the value, so it is left out.
    let document: Value = serde_json::from_slice(bytes).map_err(|_| expected("JSON"))?;
    if !document.is_object() {
        return Err(expected("an object"));
    }
    let fields = &settings.notification;
    let word = |place: &str| usable(text_at(&document, place));
    let reference = word(&fields.reference);
    let status = word(&fields.status);
    let event_type = word(&fields.event_type).unwrap_or_else(|| UNTYPED.to_owned());
    let id = word(&fields.event_id)
        .or_else(|| derived_id(reference.as_deref()?, &event_type, status.as_deref()))
        .ok_or_else(|| expected(&format!("{} or {}", fields.event_id, fields.reference)))?;
    let iccid = identity::text(at(&document, &fields.iccid), &fields.iccid).map_err(unreadable)?;
    let number =
        identity::text_or_number(at(&document, &fields.msisdn), &fields.msisdn).map_err(unreadable)?;
    let line_status = word(&fields.line_status);
    Ok(CarrierEvent {
        id,
        at: plausible(text_at(&document, &fields.event_time).as_deref().and_then(parse_moment)),
        iccid: iccid.as_deref().and_then(identity::read_iccid),
        msisdn: number.as_deref().and_then(identity::read_msisdn),
        activation_code: code_of(&document, &fields.activation_code),
        news: match reference {
            Some(reference) => command_news(&document, settings, reference, status.as_deref()),
            None => line_news(line_status.as_deref().and_then(|word| settings.sim_status(word))),
        },
        event_type,
    })
}

fn unreadable(error: ReadError) -> UnreadableEvent {
    let what = match error {
        ReadError::Unreadable { what } => what,
        other @ (ReadError::Unavailable(_) | ReadError::Denied { .. }) => other.to_string(),
    };
    UnreadableEvent { what }
}

/// The same for every repetition of the same news.
fn derived_id(reference: &str, event_type: &str, status: Option<&str>) -> Option<String> {
    usable(Some(format!("{reference}:{event_type}:{}", status.unwrap_or_default())))
}

/// The end of a command of ours, by the words of the account. What goes on is no news. A word that nobody named ends
/// nothing, but notifications are said to come at the end, so it is worth asking how the command stands.
fn command_news(document: &Value, settings: &SpsSettings, reference: String, status: Option<&str>) -> News {
    let fields = &settings.notification;
    let Some(word) = status else { return News::Nothing };
    let told = match settings.words.verdict(word) {
        Verdict::Pending => return News::Nothing,
        Verdict::Unrecognised => {
            tracing::warn!(status = %printable(word), "a notification with a status that no setting names");
            LineNews::of(LineChange::Modified, None)
        }
        Verdict::Failed => {
            let (code, reason) = (text_at(document, &fields.reason_code), text_at(document, &fields.reason));
            let refusal = problem::failure(code.as_deref(), reason.as_deref(), word);
            LineNews {
                failed: Some(refusal.detail.unwrap_or(refusal.code)),
                ..LineNews::of(LineChange::CommandEnded, None)
            }
        }
        Verdict::Done => {
            let line_status = text_at(document, &fields.line_status);
            let sim_status = line_status.as_deref().and_then(|word| settings.sim_status(word));
            LineNews::of(LineChange::CommandEnded, sim_status)
        }
    };
    News::Line(LineNews { transaction: Some(reference), hearsay: true, ..told })
}

/// What happened to a line without a command of ours.
fn line_news(sim_status: Option<SimStatus>) -> News {
    let change = match sim_status {
        Some(SimStatus::Active) => LineChange::Activated,
        Some(SimStatus::Suspended) => LineChange::Suspended,
        Some(SimStatus::Ceased | SimStatus::Terminated) => LineChange::Terminated,
        Some(_) => LineChange::Modified,
        None => return News::Nothing,
    };
    News::Line(LineNews { hearsay: true, ..LineNews::of(change, sim_status) })
}

/// The code, when it is one; what it is instead is not told, since it may be a secret all the same.
fn code_of(document: &Value, place: &str) -> Option<ActivationCode> {
    let text = at(document, place)?.as_str()?;
    let code = ActivationCode::parse(text);
    if let Err(error) = &code {
        tracing::warn!(%error, "a notification with an activation code that is none");
    }
    code.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const CODE: &str = "1$smdp.example.com$SESAME-1";

    fn whole() -> Value {
        json!({
            "eventId": "e-1", "eventType": "ActivateSubscription", "eventTime": "2026-03-10T08:00:00Z",
            "partnerTransactionId": "op_1", "wholesaleCustomerId": "920000108464", "status": "Completed",
            "subscription": {
                "subscriberId": "ord_1", "gpsi": "2812368903", "iccid": "8965880812100011146",
                "supi": "imsi-310170845466094", "pei": "imei-490154203237518", "status": "Active",
            },
            "eSim": { "activationCode": CODE },
            "fieldOfTomorrow": 1,
        })
    }

    fn with(change: impl FnOnce(&mut Value)) -> CarrierEvent {
        let mut document = whole();
        change(&mut document);
        read(&document, &SpsSettings::default()).unwrap()
    }

    fn read(document: &Value, settings: &SpsSettings) -> Result<CarrierEvent, UnreadableEvent> {
        parse(document.to_string().as_bytes(), settings)
    }

    #[test]
    fn a_completed_activation_whole() {
        let event = with(|_| ());
        assert_eq!(event.activation_code.as_ref().unwrap().code(), CODE);
        insta::assert_debug_snapshot!(event);
    }

    #[test]
    fn only_the_words_of_the_account_end_a_command() {
        let news = |status: &str| with(|document| document["status"] = json!(status)).news;
        assert!(matches!(news("completed"), News::Line(LineNews { failed: None, hearsay: true, .. })));
        for word in ["InProgress", "Accepted", ""] {
            assert_eq!(news(word), News::Nothing, "{word}");
        }
        for word in ["Success", "Done"] {
            let News::Line(told) = news(word) else { panic!("{word}") };
            assert_eq!(
                (told.change, told.hearsay),
                (LineChange::Modified, true),
                "{word}: worth a look, no more"
            );
            assert_eq!((told.transaction.as_deref(), told.sim_status), (Some("op_1"), None));
        }
        let failed = with(|document| {
            document["status"] = json!("Failed");
            document["reasonCode"] = json!("8A");
            document["reasonDesc"] = json!("number already active\u{0}");
        });
        let News::Line(failed) = failed.news else { panic!("{failed:?}") };
        assert_eq!(failed.failed.as_deref(), Some("number already active"));
        assert_eq!((failed.transaction.as_deref(), failed.sim_status), (Some("op_1"), None));
        let bare = with(|document| document["status"] = json!("FAILED"));
        assert!(matches!(bare.news, News::Line(LineNews { failed: Some(word), .. }) if word == "FAILED"));
    }

    #[test]
    fn news_of_a_line_without_a_command() {
        for (word, change, status) in [
            ("Suspended", LineChange::Suspended, SimStatus::Suspended),
            ("active", LineChange::Activated, SimStatus::Active),
            ("Ceased", LineChange::Terminated, SimStatus::Ceased),
        ] {
            let event = with(|document| {
                document["partnerTransactionId"] = Value::Null;
                document["subscription"]["status"] = json!(word);
            });
            let expected = LineNews { hearsay: true, ..LineNews::of(change, Some(status)) };
            assert_eq!(event.news, News::Line(expected), "{word}");
        }
    }

    #[test]
    fn repetitions_have_one_id() {
        let without_id = |status: &str| {
            with(|document| {
                document["eventId"] = Value::Null;
                document["status"] = json!(status);
            })
            .id
        };
        assert_eq!(without_id("Completed"), "op_1:ActivateSubscription:Completed");
        assert_ne!(without_id("Completed"), without_id("Failed"));
        let untyped = with(|document| document["eventType"] = Value::Null);
        assert_eq!((untyped.id.as_str(), untyped.event_type.as_str()), ("e-1", UNTYPED));
    }

    #[test]
    fn fields_elsewhere() {
        let mut settings = SpsSettings::default();
        for (name, place) in [
            ("event_id", "header.id"),
            ("reference", "body.transaction.id"),
            ("status", "body.outcome"),
            ("iccid", "body.sim"),
            ("activation_code", "body.lpa"),
        ] {
            settings.notification.set(name, place).unwrap();
        }
        let document = json!({
            "header": { "id": 7 },
            "body": {
                "transaction": { "id": "op_9" }, "outcome": "Completed", "sim": "8965880812100011146",
                "lpa": format!("LPA:{CODE}"),
            },
        });
        let event = read(&document, &settings).unwrap();
        assert_eq!(event.id, "7");
        assert!(event.activation_code.is_some() && event.iccid.is_some());
        assert!(matches!(event.news, News::Line(LineNews { transaction: Some(id), .. }) if id == "op_9"));
    }

    #[test]
    fn what_cannot_be_understood_is_said_without_the_content() {
        for (body, what) in [
            ("SESAME", "JSON"),
            ("[\"SESAME\"]", "an object"),
            ("{\"eSim\":{\"activationCode\":\"SESAME\"}}", "eventId or partnerTransactionId"),
        ] {
            let error = parse(body.as_bytes(), &SpsSettings::default()).unwrap_err();
            assert_eq!(error.what, what);
        }
        let mut document = whole();
        document["subscription"]["iccid"] = json!(8_965_880_812_100_011_146_u64);
        let error = read(&document, &SpsSettings::default()).unwrap_err();
        assert_eq!(error.what, "subscription.iccid as a text");
    }

    #[test]
    fn the_code_is_not_shown() {
        let event = with(|_| ());
        assert!(!format!("{event:?}").contains("SESAME"));
        assert_eq!(
            with(|document| document["eSim"]["activationCode"] = json!("SESAME")).activation_code,
            None
        );
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".*") {
            let _ = parse(&bytes, &SpsSettings::default());
            let document = json!({ "eventId": text, "status": text, "partnerTransactionId": text });
            if let Ok(event) = read(&document, &SpsSettings::default()) {
                prop_assert!(event.id.chars().count() <= 255);
            }
        }
    }
}
