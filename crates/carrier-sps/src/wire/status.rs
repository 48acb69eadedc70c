//! Suspend, resume, cease and reactivate (Subscriptions, update subscription status).

use serde::Serialize;
use simdepot_carrier_http::Request;
use simdepot_domain::carrier::{Concern, LineKey, LineOrder, Refusal, UNSUPPORTED};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineCommand;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::sim::SimStatus;

use super::{Call, identity, write};
use crate::paths::PathName;
use crate::settings::{LineIdentifier, SpsSettings};

/// The line of a command: one of the two, never both.
#[derive(Debug, Serialize)]
pub(super) enum Line {
    #[serde(rename = "gpsi")]
    Gpsi(String),
    #[serde(rename = "iccid")]
    Iccid(String),
}

impl Line {
    /// As the account names its lines.
    pub(super) fn of(iccid: &Iccid, msisdn: Option<&Msisdn>, by: LineIdentifier) -> Self {
        let number = msisdn.filter(|_| by == LineIdentifier::Msisdn).and_then(identity::gpsi);
        number.map_or_else(|| Self::Iccid(iccid.as_str().to_owned()), Self::Gpsi)
    }

    /// The same of a key.
    pub(super) fn of_key(key: &LineKey, by: LineIdentifier) -> Self {
        Self::of(&key.iccid, key.msisdn.as_ref(), by)
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    partner_transaction_id: &'a str,
    #[serde(flatten)]
    line: Line,
    action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Action {
    Suspend,
    Resume,
    Cease,
    Reactivate,
}

/// The command as a request.
///
/// # Errors
/// What cannot be said in the operator's words: nothing was sent.
pub(crate) fn request(order: &LineOrder, settings: &SpsSettings) -> Result<Request, Refusal> {
    let body = Body {
        partner_transaction_id: identity::reference(&order.reference)?,
        line: Line::of(&order.iccid, order.msisdn.as_ref(), settings.line_identifier),
        action: action(&order.command, order.from)?,
    };
    write(Call::LineCommand, PathName::Status, &settings.paths, &body)
}

/// What is one command to us is two to the operator: a suspended line is resumed, a ceased one reactivated.
fn action(command: &LineCommand, from: Option<SimStatus>) -> Result<Action, Refusal> {
    let refused = |code: &str, detail: &str, concerns| {
        Err(Refusal { code: code.to_owned(), detail: Some(detail.to_owned()), concerns })
    };
    match command {
        LineCommand::Suspend => Ok(Action::Suspend),
        LineCommand::Terminate => Ok(Action::Cease),
        LineCommand::Reactivate => match from {
            Some(SimStatus::Suspended) => Ok(Action::Resume),
            Some(SimStatus::Ceased) => Ok(Action::Reactivate),
            _ => refused(
                "NOT_STOPPED",
                "whether the line is to be resumed or reactivated depends on whether it is suspended or ceased",
                Concern::LineStatus,
            ),
        },
        LineCommand::Activate(_)
        | LineCommand::Modify(_)
        | LineCommand::SwapSim { .. }
        | LineCommand::SwapMsisdn
        | LineCommand::TariffHoliday
        | LineCommand::LeaveTariffHoliday
        | LineCommand::TestMode(_)
        | LineCommand::LeaveTestMode
        | LineCommand::SetContact { .. } => {
            refused(UNSUPPORTED, "this carrier has no such command", Concern::Account)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::line_order;
    use serde_json::json;
    use simdepot_domain::line::LineSetup;

    fn body(order: &LineOrder, settings: &SpsSettings) -> serde_json::Value {
        request(order, settings).unwrap().body.unwrap()
    }

    /// The page's schema by SIM and its sample by number. The sample writes the number as a number, the schema as a text;
    /// the schema is followed.
    #[test]
    fn the_schema_s_variant_and_the_sample_s() {
        let mut settings = SpsSettings::default();
        let mut order = line_order(LineCommand::Suspend, Some(SimStatus::Active));
        order.reference = "Txn101010101".to_owned();
        order.msisdn = Some(Msisdn::parse("19459986891").unwrap());
        assert_eq!(
            body(&order, &settings),
            json!({ "partnerTransactionId": "Txn101010101", "iccid": "8965880812100011146", "action": "Suspend" })
        );
        settings.line_identifier = LineIdentifier::Msisdn;
        assert_eq!(
            body(&order, &settings),
            json!({ "partnerTransactionId": "Txn101010101", "gpsi": "19459986891", "action": "Suspend" })
        );
        order.msisdn = None;
        assert_eq!(body(&order, &settings)["iccid"], "8965880812100011146");
        let request = request(&order, &settings).unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/status"));
    }

    #[test]
    fn four_actions_for_three_commands() {
        use SimStatus::{Active, Ceased, Suspended};
        for (command, from, expected) in [
            (LineCommand::Suspend, Some(Active), "Suspend"),
            (LineCommand::Reactivate, Some(Suspended), "Resume"),
            (LineCommand::Reactivate, Some(Ceased), "Reactivate"),
            (LineCommand::Terminate, Some(Active), "Cease"),
            (LineCommand::Terminate, None, "Cease"),
        ] {
            let order = line_order(command, from);
            assert_eq!(body(&order, &SpsSettings::default())["action"], expected);
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused_unsent() {
        let refusal =
            |command, from| request(&line_order(command, from), &SpsSettings::default()).unwrap_err();
        for from in [None, Some(SimStatus::Active)] {
            assert_eq!(refusal(LineCommand::Reactivate, from).concerns, Concern::LineStatus);
        }
        for command in [LineCommand::SwapMsisdn, LineCommand::Modify(LineSetup::default())] {
            assert_eq!(refusal(command, None).code, UNSUPPORTED);
        }
        for reference in ["", "a/b", "a b", &"x".repeat(37)] {
            let mut order = line_order(LineCommand::Suspend, None);
            order.reference = reference.to_owned();
            let refusal = request(&order, &SpsSettings::default()).unwrap_err();
            assert!(refusal.detail.unwrap().starts_with("/reference must be"), "{reference}");
        }
    }
}
