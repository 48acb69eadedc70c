//! Groups of lines, which are nothing but a word on each line.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use simdepot_domain::channel::AccountName;
use simdepot_domain::sim::SimStatus;

use crate::error::{Result, parse_column};
use crate::store::Conn;

/// How many lines of a group stand in a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupCount {
    /// The group; `None` of lines without one.
    pub group: Option<String>,
    /// The status; `None` when it was never seen.
    pub sim_status: Option<SimStatus>,
    /// How many.
    pub lines: u64,
}

/// The next groups after one, by name, at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub fn names_after(
    conn: &mut Conn<'_>,
    account: Option<&AccountName>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<String>> {
    #[derive(QueryableByName)]
    struct Name {
        #[diesel(sql_type = Text)]
        name: String,
    }
    // From one name to the next along the index, however many lines have it. Whether one of them is at the account is
    // looked up name by name, and ends at the first that is: a join might read all lines. Of a group that only other
    // accounts have, every line is read; nothing tells of what account a group's lines are.
    const NAMES: &str = "WITH RECURSIVE g (name) AS (SELECT MIN(line_group) FROM lines WHERE line_group > $1 UNION ALL \
         SELECT (SELECT MIN(line_group) FROM lines WHERE line_group > g.name) FROM g WHERE g.name IS NOT NULL) \
         SELECT name FROM g WHERE name IS NOT NULL";
    const AT_ACCOUNT: &str = "AND (SELECT 1 FROM lines l JOIN profiles p ON p.id = l.profile_id \
         JOIN pools o ON o.id = p.pool_id WHERE l.line_group = g.name AND o.carrier_account = $2 LIMIT 1) = 1";
    let after = after.unwrap_or_default();
    let names: Vec<Name> = match account {
        None => diesel::sql_query(format!("{NAMES} LIMIT {limit}")).bind::<Text, _>(after).load(conn.db)?,
        Some(account) => diesel::sql_query(format!("{NAMES} {AT_ACCOUNT} LIMIT {limit}"))
            .bind::<Text, _>(after)
            .bind::<Text, _>(account.as_str())
            .load(conn.db)?,
    };
    Ok(names.into_iter().map(|row| row.name).collect())
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Text>)]
    line_group: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    sim_status: Option<String>,
    #[diesel(sql_type = BigInt)]
    lines: i64,
}

impl Row {
    fn read(self) -> Result<GroupCount> {
        let status = |status: String| parse_column("profiles", "sim_status", "a group", &status);
        Ok(GroupCount {
            group: self.line_group,
            sim_status: self.sim_status.map(status).transpose()?,
            lines: u64::try_from(self.lines).unwrap_or_default(),
        })
    }
}

/// Counts the lines of the groups from one name to another by their status.
///
/// # Errors
/// When they cannot be read.
pub fn count(
    conn: &mut Conn<'_>,
    account: Option<&AccountName>,
    first: &str,
    last: &str,
) -> Result<Vec<GroupCount>> {
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT l.line_group, p.sim_status, COUNT(*) AS lines FROM lines l \
         JOIN profiles p ON p.id = l.profile_id JOIN pools o ON o.id = p.pool_id \
         WHERE l.line_group >= $1 AND l.line_group <= $2 AND o.carrier_account = COALESCE($3, o.carrier_account) \
         GROUP BY l.line_group, p.sim_status ORDER BY l.line_group",
    )
    .bind::<Text, _>(first)
    .bind::<Text, _>(last)
    .bind::<Nullable<Text>, _>(account.map(ToString::to_string))
    .load(conn.db)?;
    rows.into_iter().map(Row::read).collect()
}

/// Counts the lines without a group by their status.
///
/// # Errors
/// When they cannot be read.
pub fn count_without(conn: &mut Conn<'_>, account: Option<&AccountName>) -> Result<Vec<GroupCount>> {
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT l.line_group, p.sim_status, COUNT(*) AS lines FROM profiles p \
         JOIN pools o ON o.id = p.pool_id LEFT JOIN lines l ON l.profile_id = p.id \
         WHERE l.line_group IS NULL AND o.carrier_account = COALESCE($1, o.carrier_account) \
         GROUP BY l.line_group, p.sim_status",
    )
    .bind::<Nullable<Text>, _>(account.map(ToString::to_string))
    .load(conn.db)?;
    rows.into_iter().map(Row::read).collect()
}
