//! The ledger. Append-only: there is no function here that changes an event.
//!
//! Where an event stands in the [`feed`](crate::feed) is decided there: on SQLite as it is written, on PostgreSQL after
//! the commit.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::{Value as Json, json};
use simdepot_domain::event::{Event, Fact, SubjectKind};
use simdepot_domain::id::EventId;

use crate::dialect::{INSERT_CHUNK, insert_rows};
use crate::error::{Result, StoreError, document, ensure_affected, parse_column, parse_document};
use crate::schema::events;
use crate::sql_types::{At, Doc, Uid};
use crate::store::{Backend, Conn};

#[derive(Insertable, Queryable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub(crate) struct Row {
    pub(crate) id: Uid,
    pub(crate) at: At,
    pub(crate) subject_kind: String,
    pub(crate) subject_id: String,
    pub(crate) version: i64,
    pub(crate) type_name: String,
    pub(crate) data: Doc,
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
        let written = insert_rows!(&mut *conn.db, events::table, &rows)?;
        ensure_affected("insert events", rows.len(), written)?;
        if conn.backend() == Backend::Sqlite {
            crate::feed::number_as_written(conn, rows)?;
        }
    }
    Ok(())
}

pub(crate) fn row(event: &Event) -> Result<Row> {
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

/// The events of one subject after a version, oldest first, at most `limit`.
///
/// # Errors
/// When a stored event cannot be read.
pub fn of_subject_after(
    conn: &mut Conn<'_>,
    kind: SubjectKind,
    id: &str,
    version: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>> {
    events::table
        .filter(events::subject_kind.eq(kind.as_ref()))
        .filter(events::subject_id.eq(id))
        .filter(events::version.gt(version))
        .order(events::version)
        .limit(limit)
        .load::<Row>(conn.db)?
        .into_iter()
        .map(StoredEvent::try_from)
        .collect()
}

/// The last event of one subject.
///
/// # Errors
/// When it cannot be read.
pub fn last_of_subject(conn: &mut Conn<'_>, kind: SubjectKind, id: &str) -> Result<Option<StoredEvent>> {
    let row: Option<Row> = events::table
        .filter(events::subject_kind.eq(kind.as_ref()))
        .filter(events::subject_id.eq(id))
        .order(events::version.desc())
        .first(conn.db)
        .optional()?;
    row.map(StoredEvent::try_from).transpose()
}

/// The events of one type of several subjects, by subject and version.
///
/// # Errors
/// When a stored event cannot be read.
pub fn of_subjects_and_type(
    conn: &mut Conn<'_>,
    kind: SubjectKind,
    ids: &[String],
    type_name: &str,
) -> Result<Vec<StoredEvent>> {
    events::table
        .filter(events::subject_kind.eq(kind.as_ref()))
        .filter(events::subject_id.eq_any(ids))
        .filter(events::type_name.eq(type_name))
        .order((events::subject_id, events::version))
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
