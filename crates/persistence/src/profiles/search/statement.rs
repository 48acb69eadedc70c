//! The statements of a search: their text, and the values in it.

use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{BigInt, Text};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::id::ImportId;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;

use super::ProfileFilter;
use crate::connection::MultiBackend;
use crate::error::Result;
use crate::sql_types::{Id, Uid};
use crate::store::Conn;

/// One thing that must hold of a profile `p`, or of its line `l`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Term {
    OneOf(Vec<i64>),
    Pool(i64),
    /// So many that one statement reads all of them.
    Pools(Vec<i64>),
    Stock(StockStatus),
    Sim(SimStatus),
    Esim(EsimStatus),
    Batch(ImportId),
    Group(String),
    Reference(String),
}

pub(super) fn terms(filter: &ProfileFilter) -> Vec<Term> {
    let given = [
        filter.external_reference.clone().map(Term::Reference),
        filter.group.clone().map(Term::Group),
        filter.batch.map(Term::Batch),
        filter.esim_status.map(Term::Esim),
        filter.sim_status.map(Term::Sim),
        filter.pool_id.map(Term::Pool),
        filter.stock_status.map(Term::Stock),
    ];
    given.into_iter().flatten().collect()
}

/// An index that is read: by the terms that it serves.
pub(super) type Stream = Vec<Term>;

type Query<'a> = BoxedSqlQuery<'a, MultiBackend, SqlQuery>;

/// A statement on its way: the text, and its values in the order of their places.
#[derive(Default)]
pub(super) struct Statement<'a> {
    pub(super) sql: String,
    values: Vec<Value<'a>>,
}

pub(super) enum Value<'a> {
    Number(i64),
    Text(&'a str),
    Id(ImportId),
}

impl<'a> Statement<'a> {
    pub(super) fn bind(&mut self, value: Value<'a>) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    pub(super) fn text(&mut self, column: &str, value: &'a str) -> String {
        format!("{column} = {}", self.bind(Value::Text(value)))
    }

    /// For rows of a window. What stands in the line is looked up for each: a join might read a whole group.
    pub(super) fn condition_beside(&mut self, term: &'a Term) -> String {
        let condition = self.condition(term);
        match condition.strip_prefix("l.").and_then(|rest| rest.split_once(" = ")) {
            Some((column, value)) => {
                format!("(SELECT l.{column} FROM lines l WHERE l.profile_id = p.id) = {value}")
            }
            None => condition,
        }
    }

    /// Spelled as the indexes have it.
    pub(super) fn condition(&mut self, term: &'a Term) -> String {
        match term {
            Term::OneOf(ids) => format!("p.id IN ({})", listed(ids)),
            Term::Pools(ids) => format!("p.pool_id IN ({})", listed(ids)),
            Term::Pool(id) => format!("p.pool_id = {}", self.bind(Value::Number(*id))),
            Term::Stock(status) => self.text("p.stock_status", status.as_ref()),
            Term::Sim(SimStatus::Preactivated) => "p.sim_status = 'preactivated'".to_owned(),
            Term::Sim(status) => {
                format!("{} AND p.sim_status <> 'preactivated'", self.text("p.sim_status", status.as_ref()))
            }
            Term::Esim(status) => self.text("p.esim_status", status.as_ref()),
            Term::Batch(import) => format!("p.import_id = {}", self.bind(Value::Id(*import))),
            Term::Group(name) => self.text("l.line_group", name),
            Term::Reference(reference) => self.text("l.external_reference", reference),
        }
    }

    pub(super) fn run(self, conn: &mut Conn<'_>) -> Result<Vec<i64>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            id: i64,
        }
        let mut query: Query<'_> = diesel::sql_query(self.sql).into_boxed();
        for value in self.values {
            query = match value {
                Value::Number(number) => query.bind::<BigInt, _>(number),
                Value::Text(text) => query.bind::<Text, _>(text),
                Value::Id(import) => query.bind::<Id, _>(Uid(import.0)),
            };
        }
        let rows: Vec<Row> = query.load(conn.db)?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }
}

fn listed(ids: &[i64]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
