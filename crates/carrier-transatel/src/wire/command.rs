//! Telling a line something: one call per command below `…/subscribers/sim-serial/{simSerial}` (connectivity
//! management). All are asynchronous: a success means that Transatel has taken the command up.

use serde_json::{Map, Value, json};
use simdepot_domain::carrier::{
    Answered, CommandReceipt, Commanded, Concern, LineOrder, Lost, Refusal, UNSUPPORTED,
};
use simdepot_domain::country::alpha3_of_alpha2;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::{Contact, LineAction, LineCommand, LineSetup};

use super::problem::{self, Problem};
use super::{Answer, Call, Request, transaction};
use crate::paths::{Endpoint, PathName};
use crate::settings::{LineSettings, Verdict};
use simdepot_carrier_http::Fields;

/// The command as a request, and where it goes.
///
/// # Errors
/// What cannot be said in the carrier's words: nothing was sent.
pub(crate) fn request<'a>(
    order: &LineOrder,
    settings: &'a LineSettings,
) -> Result<(Request, &'a Endpoint), Refusal> {
    let unsupported = || Refusal { code: UNSUPPORTED.to_owned(), detail: None, concerns: Concern::Account };
    let endpoint = settings.paths.of(path_of(order.command.action())).ok_or_else(unsupported)?;
    let request = Request::new(Call::LineCommand, endpoint.method(), endpoint.path(order.iccid.as_str()))
        .body(Value::Object(body_of(order, settings)?));
    Ok((request, endpoint))
}

fn path_of(action: LineAction) -> PathName {
    match action {
        LineAction::Activate => PathName::Activate,
        LineAction::Modify => PathName::Modify,
        LineAction::Suspend => PathName::Suspend,
        LineAction::Reactivate => PathName::Reactivate,
        LineAction::Terminate => PathName::Terminate,
        LineAction::SwapSim => PathName::SimSwap,
        LineAction::SwapMsisdn => PathName::MsisdnSwap,
        LineAction::TariffHoliday => PathName::TariffHoliday,
        LineAction::LeaveTariffHoliday => PathName::LeaveTariffHoliday,
        LineAction::TestMode => PathName::TestMode,
        LineAction::LeaveTestMode => PathName::LeaveTestMode,
        LineAction::SetContact => PathName::ContactInfo,
    }
}

/// The rate plan goes with every command: all clients send it, and two operations are documented to need it.
fn body_of(order: &LineOrder, settings: &LineSettings) -> Result<Map<String, Value>, Refusal> {
    let mut body = Map::new();
    if let Some(rate_plan) = &order.rate_plan {
        body.insert("ratePlan".to_owned(), json!(rate_plan));
    }
    match &order.command {
        LineCommand::Activate(setup) | LineCommand::TestMode(setup) | LineCommand::Modify(setup) => {
            set_up(&mut body, setup);
        }
        LineCommand::SwapSim { new_iccid } => {
            body.insert("newSimSerial".to_owned(), json!(new_iccid.as_str()));
        }
        LineCommand::SetContact { group } => {
            let mut info = order.contact.as_ref().map(info_of).transpose()?.unwrap_or_default();
            let place = if settings.group_in_subscriber_info { &mut info } else { &mut body };
            set(place, "group", group.as_ref());
            if !info.is_empty() {
                body.insert("subscriberInfo".to_owned(), Value::Object(info));
            }
        }
        LineCommand::Suspend
        | LineCommand::Reactivate
        | LineCommand::Terminate
        | LineCommand::SwapMsisdn
        | LineCommand::TariffHoliday
        | LineCommand::LeaveTariffHoliday
        | LineCommand::LeaveTestMode => {}
    }
    Ok(body)
}

fn set(object: &mut Map<String, Value>, name: &str, value: Option<&String>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), json!(value));
    }
}

/// Absent fields are left out: the carrier's default at an activation, unchanged at a modification.
fn set_up(body: &mut Map<String, Value>, setup: &LineSetup) {
    set(body, "ratePlan", setup.rate_plan.as_ref());
    if !setup.options.is_empty() {
        body.insert("options".to_owned(), json!(setup.options));
    }
    set(body, "group", setup.group.as_ref());
    set(body, "externalReference", setup.external_reference.as_ref());
    if let Some(country) = &setup.country_of_residence {
        body.insert("subscriberCountryOfResidence".to_owned(), json!(country.as_str()));
    }
}

/// Contact data have their country in three letters, unlike an activation.
fn info_of(contact: &Contact) -> Result<Map<String, Value>, Refusal> {
    let mut info = Map::new();
    for (name, value) in [
        ("pointOfSale", &contact.point_of_sale),
        ("title", &contact.title),
        ("firstName", &contact.first_name),
        ("lastName", &contact.last_name),
        ("dateOfBirth", &contact.date_of_birth),
        ("company", &contact.company),
        ("address", &contact.address),
        ("zipCode", &contact.zip_code),
        ("city", &contact.city),
        ("contactEmail", &contact.contact_email),
    ] {
        set(&mut info, name, value.as_ref());
    }
    if let Some(country) = &contact.country {
        let alpha3 = alpha3_of_alpha2(country).ok_or_else(|| Refusal {
            code: "BAD_REQUEST".to_owned(),
            detail: Some("country is not in ISO 3166-1, so it has no three-letter code".to_owned()),
            concerns: Concern::Request,
        })?;
        info.insert("country".to_owned(), json!(alpha3));
    }
    Ok(info)
}

/// Reads the answer to `order`, which went to `endpoint`.
pub(crate) fn parse(
    answer: &Answer,
    order: &LineOrder,
    endpoint: &Endpoint,
    settings: &LineSettings,
) -> Commanded {
    if !(200..300).contains(&answer.status) {
        return refused(answer, endpoint);
    }
    // Accepted without a word, as updates are.
    if answer.body.trim_ascii().is_empty() {
        return Answered::Done(CommandReceipt::Accepted { transaction: None });
    }
    let unclear = |id: Option<String>, reason: &str| {
        let status = format!("HTTP {}", answer.status);
        let reason = format!("{status}, {reason}");
        Answered::Unknown(Lost { reason, taken_as: (!answer.is_page()).then(|| id.unwrap_or(status)) })
    };
    let Some(fields) = serde_json::from_slice(&answer.body).ok().and_then(Fields::of) else {
        return unclear(None, "but the answer cannot be understood");
    };
    let id = transaction::id_of(&fields);
    if !is_about(&fields, order) {
        return unclear(id, "but the answer is about another SIM");
    }
    let status = transaction::status_of(&fields).unwrap_or_default();
    match settings.verdict(&status) {
        Verdict::Done => Answered::Done(CommandReceipt::Done { reference: id }),
        Verdict::Failed => Answered::Refused(transaction::failure(&fields, &status)),
        // Another word may be the line's status; the transaction tells more.
        Verdict::Pending | Verdict::Unrecognised => {
            Answered::Done(CommandReceipt::Accepted { transaction: id })
        }
    }
}

/// Whether the answer names no other SIM than those of the command.
fn is_about(fields: &Fields, order: &LineOrder) -> bool {
    let Some(found) = fields.text(&["simSerial"]) else {
        return true;
    };
    let new = match &order.command {
        LineCommand::SwapSim { new_iccid } => Some(new_iccid),
        _ => None,
    };
    let ours =
        |found: &Iccid| [Some(&order.iccid), new].into_iter().flatten().any(|i| i.key() == found.key());
    Iccid::parse(&found).is_ok_and(|found| ours(&found))
}

/// What an answer other than success says. A path that the gateway does not know, and nobody has confirmed, is not there.
fn refused(answer: &Answer, endpoint: &Endpoint) -> Commanded {
    let problem = Problem::of(answer);
    match problem::write_error(answer) {
        Answered::Refused(_) => Answered::Refused(problem.into_refusal("")),
        Answered::NotTaken(_) if !endpoint.is_known && problem.is_unknown_url() => {
            let detail =
                format!("Transatel has nothing at this path: confirm {} with Transatel", endpoint.shown());
            Answered::Refused(Refusal {
                code: problem.code(),
                detail: Some(detail),
                concerns: Concern::Account,
            })
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
