//! The feed: the ledger in one dense order that consumers can follow and nobody can rewrite unseen.
//!
//! This is the part of it that needs no database: the bytes of an event that its hash covers, and the order of events
//! that were written at once.

use std::collections::HashMap;
use std::hash::Hash;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use crate::id::EventId;

/// What the hash of an event covers.
#[derive(Debug, Clone, Copy)]
pub struct Hashed<'a> {
    /// Its id.
    pub id: EventId,
    /// When it became true.
    pub at: DateTime<Utc>,
    /// What kind of thing it is about.
    pub subject_kind: &'a str,
    /// Which one.
    pub subject_id: &'a str,
    /// How many events the subject has had with this one.
    pub version: i64,
    /// Its type.
    pub type_name: &'a str,
    /// Its data.
    pub data: &'a Json,
}

impl Hashed<'_> {
    /// Bytes that are the same whatever database keeps the event, and that no other event has: times to the
    /// microsecond, texts behind their length, documents with sorted keys.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.id.0.as_bytes().to_vec();
        bytes.extend(self.at.timestamp_micros().to_be_bytes());
        put_text(&mut bytes, self.subject_kind);
        put_text(&mut bytes, self.subject_id);
        bytes.extend(self.version.to_be_bytes());
        put_text(&mut bytes, self.type_name);
        put_text(&mut bytes, &canonical_json(self.data));
        bytes
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    // A length always fits; the conversion has to say something all the same.
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// A document as text with sorted keys and without spaces: PostgreSQL's `jsonb` reorders keys, SQLite's text does not.
pub fn canonical_json(value: &Json) -> String {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value.to_string(),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical_json).collect();
            format!("[{}]", items.join(","))
        }
        Json::Object(fields) => {
            let mut fields: Vec<(&String, &Json)> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            let fields: Vec<String> = fields
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Json::from(name.as_str()), canonical_json(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

/// Puts the events of each subject into the order of their versions, in the places that events of that subject have;
/// everything else stays where it is. Neither times nor ids nor transaction numbers order the events of a subject: two
/// processes' clocks differ, and a transaction that began first may commit last.
pub fn in_version_order<T, S: Eq + Hash>(
    events: Vec<T>,
    subject: impl Fn(&T) -> S,
    version: impl Fn(&T) -> i64,
) -> Vec<T> {
    let mut places: HashMap<S, Vec<(usize, i64)>> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        places.entry(subject(event)).or_default().push((place, version(event)));
    }
    let mut moved: HashMap<usize, usize> = HashMap::new();
    for of_subject in places.into_values().filter(|places| places.len() > 1) {
        let mut ranked = of_subject.clone();
        ranked.sort_by_key(|(_, version)| *version);
        moved.extend(ranked.iter().zip(&of_subject).map(|((from, _), (to, _))| (*from, *to)));
    }
    let mut placed: Vec<(usize, T)> = events
        .into_iter()
        .enumerate()
        .map(|(place, event)| (moved.get(&place).copied().unwrap_or(place), event))
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, event)| event).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn event<'a>(subject: (&'a str, &'a str), type_name: &'a str, data: &'a Json) -> Hashed<'a> {
        Hashed {
            id: EventId(Uuid::nil()),
            at: DateTime::UNIX_EPOCH,
            subject_kind: subject.0,
            subject_id: subject.1,
            version: 1,
            type_name,
            data,
        }
    }

    #[test]
    fn documents_have_one_form() {
        let text =
            r#"{"b": [1, {"z": null, "a": "é\"\n"}], "a": {"y": 18446744073709551615, "x": -1, "": true}}"#;
        let canonical = canonical_json(&serde_json::from_str(text).unwrap());
        assert_eq!(
            canonical,
            r#"{"a":{"":true,"x":-1,"y":18446744073709551615},"b":[1,{"a":"é\"\n","z":null}]}"#
        );
        assert_eq!(canonical_json(&json!({})), "{}");
    }

    #[test]
    fn no_two_events_have_the_same_bytes() {
        let (empty, other) = (json!({}), json!({"a": 1}));
        let base = event(("order", "ab"), "c", &empty);
        assert_eq!(base.bytes(), event(("order", "ab"), "c", &json!({})).bytes());
        for changed in [
            event(("ordera", "b"), "c", &empty),
            event(("order", "a"), "bc", &empty),
            event(("order", "ab"), "c", &other),
            Hashed { version: 2, ..base },
            Hashed { at: DateTime::from_timestamp_micros(1).unwrap(), ..base },
            Hashed { id: EventId(Uuid::max()), ..base },
        ] {
            assert_ne!(changed.bytes(), base.bytes(), "{changed:?}");
        }
    }

    #[test]
    fn what_committed_late_goes_behind_its_predecessor() {
        let events = vec![('x', 2), ('p', 1), ('x', 1), ('o', 5), ('x', 3)];
        let ordered = in_version_order(events, |event| event.0, |event| event.1);
        assert_eq!(ordered, [('x', 1), ('p', 1), ('x', 2), ('o', 5), ('x', 3)]);
    }

    proptest! {
        #[test]
        fn versions_ascend_and_nothing_is_lost(events in prop::collection::vec((0u8..4, 0i64..50), 0..60)) {
            let ordered = in_version_order(events.clone(), |event| event.0, |event| event.1);
            for subject in 0..4 {
                let versions: Vec<i64> =
                    ordered.iter().filter(|event| event.0 == subject).map(|event| event.1).collect();
                prop_assert!(versions.is_sorted());
            }
            let subjects = |events: &[(u8, i64)]| events.iter().map(|event| event.0).collect::<Vec<_>>();
            prop_assert_eq!(subjects(&ordered), subjects(&events), "places are kept");
            let (mut all, mut before) = (ordered, events);
            all.sort_unstable();
            before.sort_unstable();
            prop_assert_eq!(all, before);
        }
    }
}
