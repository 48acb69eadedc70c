//! The ledger. Append-only: there is no function here that changes an event.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::{Value as Json, json};
use simdepot_domain::event::{Event, Fact, SubjectKind};
use simdepot_domain::id::EventId;

use crate::dialect::{INSERT_CHUNK, both};
use crate::error::{Result, StoreError, document, ensure_affected, parse_column, parse_document};
use crate::schema::events;
use crate::sql_types::{At, Doc, Uid};
use crate::store::Conn;

#[derive(Insertable, Queryable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub(crate) struct Row {
    id: Uid,
    at: At,
    subject_kind: String,
    subject_id: String,
    version: i64,
    type_name: String,
    data: Doc,
}

/// An event as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Its id.
    pub id: EventId,
    /// When it became true.
    pub at: DateTime<Utc>,
    /// What kind of thing it is about.
    pub subject_kind: SubjectKind,
    /// Which one.
    pub subject_id: String,
    /// How many events the subject has had with this one.
    pub version: i64,
    /// The fact.
    pub fact: Fact,
}

/// Writes events in the caller's transaction.
///
/// # Errors
/// [`StoreError::Unique`] when a subject's version is taken: somebody else changed the subject.
pub fn append(conn: &mut Conn<'_>, facts: &[Event]) -> Result<()> {
    for chunk in facts.chunks(INSERT_CHUNK) {
        let rows = chunk.iter().map(row).collect::<Result<Vec<_>>>()?;
        let written = both!(conn.db, c => diesel::insert_into(events::table).values(&rows).execute(c))?;
        ensure_affected("insert events", rows.len(), written)?;
    }
    Ok(())
}

fn row(event: &Event) -> Result<Row> {
    let mut fact = document(&event.fact)?;
    let data = fact.get_mut("data").map_or_else(|| json!({}), Json::take);
    Ok(Row {
        id: Uid(event.id.0),
        at: At(event.at),
        subject_kind: event.subject.kind().to_string(),
        subject_id: event.subject.id(),
        version: event.version,
        type_name: event.fact.type_name().to_owned(),
        data: Doc(data),
    })
}

impl TryFrom<Row> for StoredEvent {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let subject_kind = parse_column("events", "subject_kind", row.id.0, &row.subject_kind)?;
        let fact = json!({ "type": row.type_name, "data": row.data.0 });
        let fact = parse_document("events", "data", row.id.0, &fact)?;
        let (id, at, version) = (EventId(row.id.0), row.at.0, row.version);
        Ok(Self { id, at, subject_kind, subject_id: row.subject_id, version, fact })
    }
}

/// The events of one subject, oldest first.
///
/// # Errors
/// When a stored event cannot be read.
pub fn of_subject(conn: &mut Conn<'_>, kind: SubjectKind, id: &str) -> Result<Vec<StoredEvent>> {
    events::table
        .filter(events::subject_kind.eq(kind.as_ref()))
        .filter(events::subject_id.eq(id))
        .order(events::version)
        .load::<Row>(conn.db)?
        .into_iter()
        .map(StoredEvent::try_from)
        .collect()
}

/// The events of several subjects of one kind, by subject and version.
///
/// # Errors
/// When a stored event cannot be read.
pub fn of_subjects(conn: &mut Conn<'_>, kind: SubjectKind, ids: &[String]) -> Result<Vec<StoredEvent>> {
    events::table
        .filter(events::subject_kind.eq(kind.as_ref()))
        .filter(events::subject_id.eq_any(ids))
        .order((events::subject_id, events::version))
        .load::<Row>(conn.db)?
        .into_iter()
        .map(StoredEvent::try_from)
        .collect()
}
