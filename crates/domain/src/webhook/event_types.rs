//! Which events an endpoint gets, and which of them must keep their order.

use serde_json::Value as Json;
use strum::VariantNames;

use crate::event::{Fact, SubjectKind};

/// Every event type.
pub fn event_types() -> &'static [&'static str] {
    Fact::VARIANTS
}

/// Whether a filter names a known type, or with `order.*` the types of a known kind. A misspelt filter would stay
/// silent for ever.
pub fn is_event_type(pattern: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(kind) => event_types().iter().any(|known| is_of(kind, known)),
        None => event_types().contains(&pattern),
    }
}

/// What may stand in the place of a filter that names no type: the types of its kind, or all when it names no kind.
pub fn suggested_types(pattern: &str) -> Vec<&'static str> {
    let kind = pattern.split('.').next().unwrap_or_default();
    let of_kind: Vec<_> = event_types().iter().copied().filter(|known| is_of(kind, known)).collect();
    if of_kind.is_empty() { event_types().to_vec() } else { of_kind }
}

/// Whether an endpoint with this filter wants an event; without a filter it wants all.
pub fn wants(filter: Option<&[String]>, event_type: &str) -> bool {
    filter.is_none_or(|patterns| {
        patterns.iter().any(|pattern| match pattern.strip_suffix(".*") {
            Some(kind) => is_of(kind, event_type),
            None => pattern == event_type,
        })
    })
}

fn is_of(kind: &str, event_type: &str) -> bool {
    event_type.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.'))
}

/// Events with the same key reach an endpoint one after the other. What happens to a profile is told by events of its
/// bundles and operations as well, so the profile is the key where their data names it.
pub fn order_key(kind: SubjectKind, subject_id: &str, data: &Json) -> String {
    let of_profile = matches!(kind, SubjectKind::Bundle | SubjectKind::Operation);
    match data.get("iccid").and_then(Json::as_str).filter(|_| of_profile) {
        Some(iccid) => format!("{}/{iccid}", SubjectKind::Profile),
        None => format!("{kind}/{subject_id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::BundleStatus;
    use crate::channel::ChannelName;
    use crate::iccid::Iccid;
    use crate::operation::OperationStatus;

    #[test]
    fn filters_are_types_or_kinds() {
        assert!(event_types().contains(&"order.created") && event_types().contains(&"feed.checkpoint"));
        for known in ["order.created", "order.*", "profile.*", "webhook_endpoint.*"] {
            assert!(is_event_type(known), "{known}");
        }
        for unknown in ["", "*", ".*", "order", "ord.*", "order.creat*", "order.created.*", "Order.created"] {
            assert!(!is_event_type(unknown), "{unknown}");
        }
    }

    #[test]
    fn a_misspelt_filter_is_answered_with_what_there_is() {
        let holds = ["hold.created", "hold.extended", "hold.ended"];
        for pattern in ["hold.creatd", "hold", "hold.*.*"] {
            assert_eq!(suggested_types(pattern), holds, "{pattern}");
        }
        for pattern in ["hol.created", "", "*"] {
            assert_eq!(suggested_types(pattern), event_types(), "{pattern}");
        }
    }

    #[test]
    fn an_endpoint_gets_what_it_wants() {
        let filter = |patterns: &[&str]| patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert!(wants(None, "pool.changed"));
        let some = filter(&["order.*", "pool.stock_low"]);
        for (event_type, wanted) in [
            ("order.created", true),
            ("order.status_changed", true),
            ("pool.stock_low", true),
            ("pool.stock_recovered", false),
            ("orders.created", false),
            ("profile.stock_moved", false),
        ] {
            assert_eq!(wants(Some(&some), event_type), wanted, "{event_type}");
        }
        assert!(!wants(Some(&[]), "order.created"));
    }

    #[test]
    fn what_happens_to_a_profile_has_one_key() {
        let iccid = Iccid::parse("8988247000000000012").unwrap();
        let data = |fact: &Fact| serde_json::to_value(fact).unwrap()["data"].take();
        let (from, to) = (BundleStatus::Ordering, BundleStatus::Ready);
        let bundle = data(&Fact::BundleStatusChanged { iccid: iccid.clone(), from, to });
        let key = order_key(SubjectKind::Bundle, "bdl_1", &bundle);
        assert_eq!(key, "profile/8988247000000000012");
        let product = "P".to_owned();
        let (channel, reference) = (ChannelName::parse("web").unwrap(), Some("topup-1".to_owned()));
        let ordered =
            data(&Fact::BundleOrdered { iccid: iccid.clone(), product, order: None, channel, reference });
        assert_eq!(order_key(SubjectKind::Bundle, "bdl_2", &ordered), key);
        let sent = data(&Fact::OperationStatusChanged {
            iccid: iccid.clone(),
            kind: None,
            from: None,
            to: OperationStatus::Pending,
            order_type: None,
            code: None,
            reason: None,
        });
        assert_eq!(order_key(SubjectKind::Operation, "op_1", &sent), key);
        assert_eq!(order_key(SubjectKind::Profile, iccid.as_str(), &data(&Fact::CodeReceived {})), key);
        let pool = data(&Fact::PoolChanged { settings: Vec::new(), carrier_account: None });
        assert_eq!(order_key(SubjectKind::Pool, "world", &pool), "pool/world");
    }
}
