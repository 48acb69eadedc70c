//! Searching the stock: pages in the order of the import, each at a cost that does not grow with the stock.
//!
//! A page is read along one index, or several side by side ([`Stream`]): that of the filter that leaves the fewest. What
//! else is asked for is looked at row by row, for [`WINDOW`] rows at most; then the page ends where it is, however little
//! it has found, and tells where the next one goes on.

mod statement;
mod streams;

use simdepot_domain::esim::EsimStatus;
use simdepot_domain::id::ImportId;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;

use self::statement::{Statement, Stream, Term, Value, terms};
use super::{Profile, get_many};
use crate::error::Result;
use crate::store::Conn;

/// So many rows of an index are looked at for one page.
const WINDOW: i64 = 10_000;
/// Of one stream at least as many, however many there are; there are no more of them than make a window.
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

/// A page of profiles, at most `limit`. Its statements must all see the same moment ([`Store::snapshot`]): a profile that
/// moved between two of them would be found twice or never.
///
/// [`Store::snapshot`]: crate::Store::snapshot
///
/// # Errors
/// When it cannot be read.
pub fn search(conn: &mut Conn<'_>, filter: &ProfileFilter, limit: i64) -> Result<Found> {
    Search::new(conn, filter, limit)?.run(conn)
}

/// The statements that a search may take for its page, with places for their values. For the tests of their plans.
///
/// # Errors
/// When the indexes to read cannot be chosen.
pub fn search_sql(conn: &mut Conn<'_>, filter: &ProfileFilter, limit: i64) -> Result<Vec<String>> {
    let search = Search::new(conn, filter, limit)?;
    let mut statements = Vec::new();
    for stream in &search.streams {
        let rest = search.beside(stream);
        statements.push(search.matching(stream, &rest).sql);
        if !rest.is_empty() {
            statements.push(search.end_of_window(stream).sql);
        }
    }
    Ok(statements)
}

struct Search {
    terms: Vec<Term>,
    streams: Vec<Stream>,
    /// After this row. Up to there, nothing can be found.
    after: Option<i64>,
    limit: i64,
}

impl Search {
    fn new(conn: &mut Conn<'_>, filter: &ProfileFilter, limit: i64) -> Result<Self> {
        let (terms, streams, after) = (terms(filter), Vec::new(), filter.after);
        let mut search = Self { terms, streams, after, limit };
        if let Some(text) = &filter.q {
            search.terms.push(Term::OneOf(streams::ids_matching(conn, text)?));
        }
        search.streams = streams::choose(conn, filter, &search.terms)?;
        if let (Some(status), [stream]) = (filter.stock_status, search.streams.as_slice())
            && stream.is_empty()
        {
            match streams::next(conn, status, filter.after)? {
                Some(next) => search.after = Some(next - 1),
                None => search.streams.clear(),
            }
        }
        Ok(search)
    }

    /// What a stream does not see to.
    fn beside(&self, stream: &Stream) -> Vec<&Term> {
        self.terms.iter().filter(|term| !stream.contains(term)).collect()
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
        let rest = self.beside(stream);
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
        if let Some(after) = self.after {
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
