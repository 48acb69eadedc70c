//! What a line is beside its status and number. The names follow the requests that set them; those of the dates, and of
//! who suspended it, are not published, so several are tried.

use serde_json::Value;
use simdepot_domain::line::{LineDetails, LineOption, SuspendedBy};
use simdepot_domain::sim::SimStatus;

use super::lenient;
use simdepot_carrier_http::{Fields, usable};

const SUSPENDED_BY: [&str; 5] =
    ["suspendedBy", "suspensionOrigin", "suspensionSource", "suspensionType", "suspensionReason"];

/// The details of a line in `status`, which the carrier spells `text`.
pub(crate) fn of(fields: &Fields, status: Option<SimStatus>, text: Option<&str>) -> LineDetails {
    LineDetails {
        // A word that stayed behind says nothing of a line that works again.
        suspended_by: suspended_by(fields, text).filter(|_| status == Some(SimStatus::Suspended)),
        rate_plan: fields.text(&["ratePlan"]),
        options: fields.value(&["options"]).and_then(options_of),
        group: fields.text(&["group"]),
        external_reference: fields.text(&["externalReference"]),
        activated_at: fields.moment(&["activationDate", "activatedDate"]),
        modified_at: fields.moment(&["lastModificationDate", "modificationDate", "lastModifiedDate"]),
        contract_ends_at: fields.moment(&["endOfContractDate", "contractEndDate", "endContractDate"]),
    }
}

/// Who suspended a line. Transatel's portal shows its own suspensions as a status, "Suspended by the provider".
pub(crate) fn suspended_by(fields: &Fields, status: Option<&str>) -> Option<SuspendedBy> {
    let said = fields.text(&SUSPENDED_BY).as_deref().and_then(of_word);
    said.or_else(|| lenient::fold(status?).strip_prefix("suspendedby").and_then(of_word))
}

fn of_word(word: &str) -> Option<SuspendedBy> {
    let word = lenient::fold(word);
    match word.strip_prefix("the").unwrap_or(&word) {
        "customer" | "client" | "owner" | "user" | "manual" | "api" | "webtool" | "ftp" => {
            Some(SuspendedBy::Customer)
        }
        "automatic" | "automatically" | "auto" | "system" | "threshold" => Some(SuspendedBy::Automatic),
        "operator" | "provider" | "carrier" | "transatel" | "fraud" => Some(SuspendedBy::Operator),
        _ => None,
    }
}

/// The options, when every one can be read: one that is left out would pass for switched off.
fn options_of(value: &Value) -> Option<Vec<LineOption>> {
    value.as_array()?.iter().map(option_of).collect()
}

fn option_of(value: &Value) -> Option<LineOption> {
    let name = usable(lenient::text(value.get("name")?).ok()?)?;
    let value = match value.get("value")? {
        Value::Bool(on) => if *on { "on" } else { "off" }.to_owned(),
        value => usable(lenient::text(value).ok()?)?,
    };
    Some(LineOption { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value, text: &str) -> LineDetails {
        of(&Fields::of(body).unwrap(), SimStatus::from_carrier_text(text), Some(text))
    }

    #[test]
    fn who_suspended_it_in_every_dress() {
        use SuspendedBy::{Automatic, Customer, Operator};
        let by = |word: Value, status: &str| read(json!({ "suspendedBy": word }), status).suspended_by;
        for (word, expected) in [
            (json!("customer"), Some(Customer)),
            (json!("API"), Some(Customer)),
            (json!("Automatic"), Some(Automatic)),
            (json!("OPERATOR"), Some(Operator)),
            (json!("the provider"), Some(Operator)),
            (json!("weather"), None),
            (json!({}), None),
            (Value::Null, None),
        ] {
            assert_eq!(by(word.clone(), "Suspended"), expected, "{word}");
            assert_eq!(by(word, "Active"), None);
        }
        assert_eq!(by(Value::Null, "Suspended by the provider"), Some(Operator));
        assert_eq!(by(json!("customer"), "Suspended by the provider"), Some(Customer), "the field first");
    }

    #[test]
    fn options_whole_or_not_at_all() {
        let options = |value: Value| read(json!({ "options": value }), "Active").options;
        let expected = vec![
            LineOption { name: "A".to_owned(), value: "on".to_owned() },
            LineOption { name: "B".to_owned(), value: "7".to_owned() },
        ];
        let listed = json!([{ "name": "A", "value": true, "new": 1 }, { "name": " B", "value": 7 }]);
        assert_eq!(options(listed), Some(expected));
        assert_eq!(options(json!([])), Some(Vec::new()));
        for broken in [json!([{ "name": "A" }]), json!([null]), json!({}), json!("A"), Value::Null] {
            assert_eq!(options(broken.clone()), None, "{broken}");
        }
    }

    #[test]
    fn dates_under_the_names_that_they_may_have() {
        let at = |body: Value| {
            let details = read(body, "Active");
            let all = [details.activated_at, details.modified_at, details.contract_ends_at];
            all.map(|at| at.map(|at| at.date_naive().to_string()))
        };
        let day = |day: &str| Some(day.to_owned());
        let found = at(json!({
            "activationDate": "2026-01-01T00:00:00Z", "modificationDate": "2026-02-01", "lastModifiedDate": "2026-03-01",
            "contractEndDate": "2028-01-01",
        }));
        assert_eq!(found, [day("2026-01-01"), day("2026-02-01"), day("2028-01-01")]);
        let found = at(json!({ "activationDate": "soon", "endOfContractDate": "9999-12-31" }));
        assert_eq!(found, [None, None, None]);
    }
}
