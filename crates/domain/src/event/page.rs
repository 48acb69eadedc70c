//! Renders every event type for `docs/EVENTS.md` from the source of [`Fact`], so that the page tells of each type and
//! field what the code tells, and cannot lack one.

use chrono::{DateTime, Utc};
use serde::Serialize;
use strum::{VariantArray, VariantNames};

use super::{Fact, SellByMoved, SubjectKind};
use crate::bundle::{BundleStatus, OrderType};
use crate::channel::Scope;
use crate::drift::{DriftKind, DriftStatus};
use crate::esim::EsimStatus;
use crate::hold::HoldStatus;
use crate::import::ImportCounts;
use crate::line::SuspendedBy;
use crate::line_job::LineJobStatus;
use crate::observation::Source;
use crate::operation::OperationStatus;
use crate::order::OrderStatus;
use crate::pool::AlertLevel;
use crate::profile::QuarantineReason;
use crate::sim::SimStatus;
use crate::stock::StockStatus;

const SOURCE: &str = include_str!("fact.rs");

/// A variant of [`Fact`] as the source has it.
#[derive(Default)]
struct EventType {
    name: String,
    when: String,
    fields: Vec<Field>,
}

/// A field of its data.
#[derive(Default)]
struct Field {
    name: String,
    kind: String,
    meaning: String,
}

/// The page as it must stand in `docs/EVENTS.md`.
fn page() -> String {
    let types = event_types();
    let sections = SubjectKind::VARIANTS.iter().map(|kind| section(*kind, &types)).collect::<String>();
    format!(
        "# Events\n\n\
         Generated from `crates/domain` (`just docs`); do not edit.\n\n\
         Every type of event of the feed (`GET /v1/events`) and of webhooks, with the fields of its `data`. How to\n\
         follow them is told in [API-DESIGN.md](API-DESIGN.md#events). The first part of a type is the kind of its\n\
         `subject`. The `types` of a webhook endpoint name a type of this page, or with `.*` all of a kind, such as\n\
         `order.*`. Types, fields and words are only added: pass over what you do not know. No event carries a secret.\n\n\
         A field that is optional is absent when there is nothing to tell.\n\n\
         {sections}\
         ## Words\n\n{}",
        words()
    )
}

/// The types of a kind.
fn section(kind: SubjectKind, types: &[EventType]) -> String {
    let of_kind = types.iter().filter(|event| event.name.split('.').next() == Some(kind.as_ref()));
    let rows = of_kind.map(|event| {
        let fields = event.fields.iter().map(|field| {
            let Field { name, kind, meaning } = field;
            format!("`{name}` ({}): {}", words_for(kind), lower_case(meaning))
        });
        let fields: Vec<_> = fields.collect();
        let data = if fields.is_empty() { "nothing".to_owned() } else { fields.join("<br>") };
        format!("| `{}` | {} | {data} |\n", event.name, event.when)
    });
    let rows = rows.collect::<String>();
    assert!(!rows.is_empty(), "{kind} has no events");
    format!("## `{kind}/{}`\n\n| type | when | data |\n|---|---|---|\n{rows}\n", id_of(kind))
}

/// The form of the subject's id.
fn id_of(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Profile => "<iccid>",
        SubjectKind::Pool | SubjectKind::RatePlan | SubjectKind::ServiceProfile => "<name>",
        SubjectKind::Feed => "feed",
        SubjectKind::Order
        | SubjectKind::Bundle
        | SubjectKind::Operation
        | SubjectKind::Import
        | SubjectKind::ApiKey
        | SubjectKind::Hold
        | SubjectKind::WebhookEndpoint
        | SubjectKind::Reconciliation
        | SubjectKind::LineJob => "<id>",
    }
}

/// A Rust type in the words of the page.
fn words_for(kind: &str) -> String {
    let inside = |outer: &str| kind.strip_prefix(outer)?.strip_suffix('>');
    if let Some(inner) = inside("Option<") {
        return format!("{}, optional", words_for(inner));
    }
    if let Some(inner) = inside("Vec<") {
        return format!("list of {}", words_for(inner));
    }
    if let Some((word, _)) = word_lists().iter().find(|(word, _)| camel_case(word) == kind) {
        return format!("[{word}](#words)");
    }
    match kind {
        "bool" => "true or false",
        "u32" | "u64" | "i64" => "integer",
        "String" => "text",
        "DateTime<Utc>" => "time",
        "Iccid" => "ICCID",
        "OrderId" => "order id",
        "OperationId" => "operation id",
        "HoldId" => "hold id",
        "ApiKeyId" => "key id",
        "AccountName" => "account name",
        "ChannelName" => "channel name",
        "PoolName" => "pool name",
        "ImportCounts" => return format!("object of integers: {}", names_of(&ImportCounts::default())),
        "SellByMoved" => {
            let (from, to) = (DateTime::<Utc>::UNIX_EPOCH, DateTime::<Utc>::UNIX_EPOCH);
            return format!("object of times: {}", names_of(&SellByMoved { from, to }));
        }
        unknown => panic!("say in words what a {unknown} is"),
    }
    .to_owned()
}

/// The names of an object's fields.
fn names_of(value: &impl Serialize) -> String {
    let object = serde_json::to_value(value).expect("JSON");
    let names = object.as_object().expect("an object").keys().map(|name| format!("`{name}`"));
    names.collect::<Vec<_>>().join(", ")
}

/// What fields of a few fixed words may say, by the name of their type in words.
fn word_lists() -> Vec<(&'static str, Vec<String>)> {
    fn all<T: VariantArray + ToString>() -> Vec<String> {
        T::VARIANTS.iter().map(T::to_string).collect()
    }
    vec![
        ("alert level", all::<AlertLevel>()),
        ("bundle status", all::<BundleStatus>()),
        ("drift kind", all::<DriftKind>()),
        ("drift status", all::<DriftStatus>()),
        ("esim status", all::<EsimStatus>()),
        ("hold status", all::<HoldStatus>()),
        ("line job status", all::<LineJobStatus>()),
        ("operation status", all::<OperationStatus>()),
        ("order status", all::<OrderStatus>()),
        ("order type", all::<OrderType>()),
        ("quarantine reason", all::<QuarantineReason>()),
        ("scope", all::<Scope>()),
        ("sim status", all::<SimStatus>()),
        ("source", all::<Source>()),
        ("stock status", all::<StockStatus>()),
        ("suspended by", all::<SuspendedBy>()),
    ]
}

fn words() -> String {
    let rows = word_lists().into_iter().map(|(word, values)| {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        format!("| {word} | {} |\n", values.join(", "))
    });
    format!("| field of | may say |\n|---|---|\n{}", rows.collect::<String>())
}

/// `BundleStatus` of "bundle status".
fn camel_case(words: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    words.split(' ').map(word).collect()
}

/// The first letter small, unless the word is written in capitals.
fn lower_case(sentence: &str) -> String {
    if sentence.starts_with("SHA") {
        sentence.to_owned()
    } else {
        sentence[..1].to_lowercase() + &sentence[1..]
    }
}

/// Reads the enum. Every line must be understood: one that is passed over could be a field.
fn event_types() -> Vec<EventType> {
    let (_, body) = SOURCE.split_once("\npub enum Fact {\n").expect("the enum");
    let (body, _) = body.split_once("\n}\n").expect("its end");
    let (mut types, mut event, mut field) = (Vec::new(), EventType::default(), Field::default());
    for line in body.lines() {
        let text = line.trim_start();
        let is_field = line.starts_with("        ");
        if let Some(doc) = text.strip_prefix("/// ") {
            let target = if is_field { &mut field.meaning } else { &mut event.when };
            if !target.is_empty() {
                target.push(' ');
            }
            target.push_str(doc);
        } else if let Some(rename) = text.strip_prefix("#[serde(rename = \"").filter(|_| !is_field) {
            rename.strip_suffix("\")]").expect("a name alone").clone_into(&mut event.name);
        } else if text.starts_with("#[strum(serialize = ") || text.starts_with("#[serde(skip_serializing_if")
        {
            // The same name again, and what makes a field optional, which its type says as well.
        } else if let (true, Some((name, kind))) = (is_field, text.split_once(": ")) {
            name.clone_into(&mut field.name);
            kind.strip_suffix(',').expect("a field's end").clone_into(&mut field.kind);
            event.fields.push(std::mem::take(&mut field));
        } else if text.ends_with(" {},") || text == "}," {
            types.push(std::mem::take(&mut event));
        } else {
            assert!(text.ends_with(" {") && !is_field, "what is this? {line}");
        }
    }
    types
}

/// `UPDATE_DOCS=1 cargo test` writes the page.
#[test]
fn the_page_of_events_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/EVENTS.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), page(), "run `just docs`");
}

#[test]
fn the_page_has_every_type_once() {
    let read: Vec<String> = event_types().into_iter().map(|event| event.name).collect();
    assert_eq!(read, Fact::VARIANTS);
    let page = page();
    for known in Fact::VARIANTS {
        assert_eq!(page.matches(&format!("| `{known}` |")).count(), 1, "{known}");
    }
}
