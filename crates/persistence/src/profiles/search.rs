//! Searching the stock: pages in the order of the import, each at a cost that does not grow with the stock.
//!
//! A page is read along one index, or several side by side ([`Stream`]): that of the filter that leaves the fewest. What
//! else is asked for is looked at row by row, for [`WINDOW`] rows at most; then the page ends where it is, however little
//! it has found, and tells where the next one goes on.

use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{BigInt, Text};
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::ImportId;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use strum::VariantArray as _;

use super::{Profile, get_many};
use crate::connection::MultiBackend;
use crate::error::Result;
use crate::schema::{allocations, orders, pools, profiles};
use crate::sql_types::{Id, Uid};
use crate::store::Conn;

/// So many rows of an index are looked at for one page.
const WINDOW: i64 = 10_000;
/// Of one stream at least as many, however many there are.
const SMALLEST_WINDOW: i64 = 500;

/// What a search asks for. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct ProfileFilter {
    /// In this pool.
    pub pool_id: Option<i64>,
    /// Standing there.
    pub stock_status: Option<StockStatus>,
    /// With the line seen there.
    pub sim_status: Option<SimStatus>,
    /// With the eSIM seen there.
    pub esim_status: Option<EsimStatus>,
    /// From this delivery.
    pub batch: Option<ImportId>,
    /// With a line in this group.
    pub group: Option<String>,
    /// With a line under this reference of the owner's.
    pub external_reference: Option<String>,
    /// ICCID, MSISDN, EID or order reference, exactly.
    pub q: Option<String>,
    /// After this row.
    pub after: Option<i64>,
}

/// A part of what a search finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The profiles, in the order of their import.
    pub profiles: Vec<Profile>,
    /// Up to which row was looked, when there may be more behind it although the page is not full.
    pub looked_up_to: Option<i64>,
}

/// A page of profiles, at most `limit`.
///
/// # Errors
/// When it cannot be read.
pub fn search(conn: &mut Conn<'_>, filter: &ProfileFilter, limit: i64) -> Result<Found> {
    let mut search = Search { terms: terms(filter), filter, limit, streams: Vec::new() };
    if let Some(text) = &filter.q {
        search.terms.push(Term::OneOf(ids_matching(conn, text)?));
    }
    search.streams = search.choose(conn)?;
    search.run(conn)
}

/// One thing that must hold of a profile `p`, or of its line `l`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    OneOf(Vec<i64>),
    Pool(i64),
    Stock(StockStatus),
    Sim(SimStatus),
    Esim(EsimStatus),
    Batch(ImportId),
    Group(String),
    Reference(String),
}

fn terms(filter: &ProfileFilter) -> Vec<Term> {
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
type Stream = Vec<Term>;

type Query<'a> = BoxedSqlQuery<'a, MultiBackend, SqlQuery>;

/// A statement on its way: the text, and its values in the order of their places.
#[derive(Default)]
struct Statement<'a> {
    sql: String,
    values: Vec<Value<'a>>,
}

enum Value<'a> {
    Number(i64),
    Text(&'a str),
    Id(ImportId),
}

impl<'a> Statement<'a> {
    fn bind(&mut self, value: Value<'a>) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn text(&mut self, column: &str, value: &'a str) -> String {
        format!("{column} = {}", self.bind(Value::Text(value)))
    }

    /// For rows of a window. What stands in the line is looked up for each: a join might read a whole group.
    fn condition_beside(&mut self, term: &'a Term) -> String {
        let condition = self.condition(term);
        match condition.strip_prefix("l.").and_then(|rest| rest.split_once(" = ")) {
            Some((column, value)) => {
                format!("(SELECT l.{column} FROM lines l WHERE l.profile_id = p.id) = {value}")
            }
            None => condition,
        }
    }

    /// Spelled as the indexes have it.
    fn condition(&mut self, term: &'a Term) -> String {
        match term {
            Term::OneOf(ids) => {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                format!("p.id IN ({})", ids.join(", "))
            }
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

    fn run(self, conn: &mut Conn<'_>) -> Result<Vec<i64>> {
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

struct Search<'a> {
    filter: &'a ProfileFilter,
    terms: Vec<Term>,
    streams: Vec<Stream>,
    limit: i64,
}

impl Search<'_> {
    /// Which indexes to read. A term that few profiles fulfil goes before one that many do, as far as that is known.
    fn choose(&self, conn: &mut Conn<'_>) -> Result<Vec<Stream>> {
        if let Some(first) = self.terms.iter().find(|term| matches!(term, Term::OneOf(_))) {
            return Ok(vec![vec![first.clone()]]);
        }
        let of_stock = self.filter.pool_id.is_some() || self.filter.stock_status.is_some();
        let indexed = |term: &&Term| {
            !matches!(term, Term::Pool(_) | Term::Stock(_) | Term::Sim(SimStatus::Preactivated))
        };
        match self.terms.iter().find(indexed) {
            Some(Term::Reference(reference)) => Ok(vec![vec![Term::Reference(reference.clone())]]),
            Some(_) if of_stock && self.is_small_stock(conn)? => self.of_stock(conn),
            Some(term) => Ok(vec![vec![term.clone()]]),
            None if of_stock => self.of_stock(conn),
            None => Ok(vec![Vec::new()]),
        }
    }

    /// Whether so few profiles stand in the pool, and there, that all of them may be looked at.
    fn is_small_stock(&self, conn: &mut Conn<'_>) -> Result<bool> {
        let mut counts = Statement::default();
        let mut conditions = vec!["1 = 1".to_owned()];
        if let Some(pool_id) = self.filter.pool_id {
            conditions.push(format!("pool_id = {}", counts.bind(Value::Number(pool_id))));
        }
        if let Some(status) = &self.filter.stock_status {
            conditions.push(counts.text("stock_status", status.as_ref()));
        }
        counts.sql = format!(
            "SELECT CAST(COALESCE(SUM(profiles), 0) AS BIGINT) AS id FROM stock_now WHERE {}",
            conditions.join(" AND ")
        );
        Ok(counts.run(conn)?.iter().all(|profiles| *profiles <= WINDOW))
    }

    /// The index of the stock goes by pool, then by status: one stream for each that may hold something.
    fn of_stock(&self, conn: &mut Conn<'_>) -> Result<Vec<Stream>> {
        let pools: Vec<i64> = match self.filter.pool_id {
            Some(id) => vec![id],
            None => pools::table.order(pools::id).select(pools::id).load(conn.db)?,
        };
        let statuses = match self.filter.stock_status {
            Some(status) => vec![status],
            None => StockStatus::VARIANTS.to_vec(),
        };
        let of_pool = |pool| statuses.iter().map(move |status| vec![Term::Pool(pool), Term::Stock(*status)]);
        Ok(pools.into_iter().flat_map(of_pool).collect())
    }

    fn run(&self, conn: &mut Conn<'_>) -> Result<Found> {
        let (mut ids, mut horizon) = (Vec::new(), None::<i64>);
        for stream in &self.streams {
            let (found, looked_up_to) = self.read(conn, stream)?;
            ids.extend(found);
            // Behind the place where one stream was left, what the others have found is not all there is.
            horizon = [horizon, looked_up_to].into_iter().flatten().min();
        }
        ids.sort_unstable();
        ids.retain(|id| horizon.is_none_or(|horizon| *id <= horizon));
        let full = ids.len() >= usize::try_from(self.limit).unwrap_or(usize::MAX);
        ids.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        let profiles = get_many(conn, &ids)?;
        Ok(Found { profiles, looked_up_to: horizon.filter(|_| !full) })
    }

    /// What a stream has, and up to which row it was looked at, unless to its end.
    fn read(&self, conn: &mut Conn<'_>, stream: &Stream) -> Result<(Vec<i64>, Option<i64>)> {
        if matches!(stream.as_slice(), [Term::OneOf(ids)] if ids.is_empty()) {
            return Ok((Vec::new(), None));
        }
        let rest: Vec<&Term> = self.terms.iter().filter(|term| !stream.contains(term)).collect();
        let found = self.matching(stream, &rest).run(conn)?;
        let full = i64::try_from(found.len()).is_ok_and(|found| found >= self.limit);
        let looked_up_to = match found.last() {
            Some(last) if full => Some(*last),
            _ if rest.is_empty() => None,
            _ => self.end_of_window(stream).run(conn)?.first().copied(),
        };
        Ok((found, looked_up_to))
    }

    fn window(&self) -> i64 {
        let streams = i64::try_from(self.streams.len()).unwrap_or(i64::MAX).max(1);
        (WINDOW / streams).max(SMALLEST_WINDOW).max(self.limit)
    }

    /// The tables, conditions and order of a stream.
    fn along<'a>(&self, stream: &'a Stream, statement: &mut Statement<'a>) -> (String, &'static str) {
        let of_lines = stream.iter().any(|term| matches!(term, Term::Group(_) | Term::Reference(_)));
        let (tables, row) = match stream.as_slice() {
            _ if of_lines => ("lines l JOIN profiles p ON p.id = l.profile_id", "l.profile_id + 0"),
            [] | [Term::OneOf(_)] => ("profiles p", "p.id"),
            _ => ("profiles p", "p.id + 0"),
        };
        let mut conditions: Vec<String> = stream.iter().map(|term| statement.condition(term)).collect();
        if let Some(after) = self.filter.after {
            conditions.push(format!("{row} > {}", statement.bind(Value::Number(after))));
        }
        let conditions = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
        (format!("FROM {tables} WHERE {conditions} ORDER BY {row}"), row)
    }

    fn matching<'a>(&self, stream: &'a Stream, rest: &[&'a Term]) -> Statement<'a> {
        let mut statement = Statement::default();
        let (along, row) = self.along(stream, &mut statement);
        // The order that the window has already.
        let order = row.replace("l.profile_id", "p.id");
        if rest.is_empty() {
            statement.sql = format!("SELECT p.id {along} LIMIT {}", self.limit);
            return statement;
        }
        let rest: Vec<String> = rest.iter().map(|term| statement.condition_beside(term)).collect();
        statement.sql = format!(
            "SELECT p.id FROM (SELECT p.id, p.pool_id, p.stock_status, p.sim_status, p.esim_status, p.import_id \
             {along} LIMIT {}) p WHERE {} ORDER BY {order} LIMIT {}",
            self.window(),
            rest.join(" AND "),
            self.limit
        );
        statement
    }

    fn end_of_window<'a>(&self, stream: &'a Stream) -> Statement<'a> {
        let mut statement = Statement::default();
        let (along, row) = self.along(stream, &mut statement);
        statement.sql =
            format!("SELECT {row} AS id {along} LIMIT 1 OFFSET {}", self.window().saturating_sub(1));
        statement
    }
}

/// Rows allocated now to orders with a reference, in whatever channel.
fn allocated_under(conn: &mut Conn<'_>, reference: &str) -> Result<Vec<i64>> {
    Ok(allocations::table
        .inner_join(orders::table.on(orders::id.eq(allocations::order_id)))
        .filter(allocations::ended_at.is_null())
        .filter(orders::reference.eq(reference))
        .select(allocations::profile_id)
        .load(conn.db)?)
}

/// Every identifier is looked up by its own index; the results are few.
fn ids_matching(conn: &mut Conn<'_>, text: &str) -> Result<Vec<i64>> {
    let text = text.trim();
    let mut ids = allocated_under(conn, text)?;
    if let Ok(iccid) = Iccid::parse(text) {
        ids.extend(
            profiles::table
                .filter(profiles::sim_key.eq(iccid.key()))
                .select(profiles::id)
                .load::<i64>(conn.db)?,
        );
    }
    if let Ok(msisdn) = Msisdn::parse(text) {
        let found = profiles::table.filter(profiles::msisdn.eq(msisdn.as_str())).select(profiles::id);
        ids.extend(found.load::<i64>(conn.db)?);
    }
    if let Ok(eid) = Eid::parse(text) {
        ids.extend(
            profiles::table
                .filter(profiles::eid.eq(eid.as_str()))
                .select(profiles::id)
                .load::<i64>(conn.db)?,
        );
    }
    Ok(ids)
}
