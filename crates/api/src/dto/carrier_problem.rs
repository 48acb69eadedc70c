//! Why the carrier did not do what was asked.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::words::Concern;

/// Why the carrier did not do what was asked, or why that is not known.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "code": "SUBSCRIBER_STATUS_NOT_ELIGIBLE", "detail": "The line status does not allow this order.", "concerns": "line_status"
}))]
pub struct CarrierProblem {
    /// The carrier's own code, or one of simdepot's such as `answer_lost`.
    pub code: String,
    /// The carrier's words, for people.
    #[serde(default)]
    pub detail: Option<String>,
    /// What the refusal is about, when it is one.
    #[serde(default)]
    pub concerns: Option<Concern>,
}

impl CarrierProblem {
    /// From what was recorded. A record that cannot be read still says that there was a problem.
    pub fn read(recorded: Option<Json>) -> Option<Self> {
        let unreadable = || Self { code: "unknown".to_owned(), detail: None, concerns: None };
        recorded.map(|document| serde_json::from_value(document).unwrap_or_else(|_| unreadable()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_never_dropped() {
        assert!(CarrierProblem::read(None).is_none());
        let lost = CarrierProblem::read(Some(json!({"code": "answer_lost", "detail": "time-out"}))).unwrap();
        assert_eq!((lost.code.as_str(), lost.concerns), ("answer_lost", None));
        let refused =
            CarrierProblem::read(Some(json!({"code": "X", "detail": null, "concerns": "product"}))).unwrap();
        assert_eq!(refused.concerns, Some(Concern::Product));
        assert_eq!(CarrierProblem::read(Some(json!("odd"))).unwrap().code, "unknown");
    }
}
