//! Groups of lines and how their lines stand.

use std::collections::BTreeMap;

use simdepot_domain::channel::AccountName;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::groups::{self, GroupCount};

use crate::depot::Depot;
use crate::error::AppError;

/// A group; the lines without one count as one too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name; `None` of the lines without a group.
    pub name: Option<String>,
    /// Its lines by status.
    pub by_status: BTreeMap<SimStatus, u64>,
    /// Its lines whose status was never seen.
    pub unseen: u64,
}

impl Group {
    fn named(name: Option<String>) -> Self {
        Self { name, ..Self::default() }
    }

    fn add(&mut self, counted: &GroupCount) {
        match counted.sim_status {
            Some(status) => *self.by_status.entry(status).or_default() += counted.lines,
            None => self.unseen += counted.lines,
        }
    }

    /// How many lines it has.
    pub fn lines(&self) -> u64 {
        self.by_status.values().sum::<u64>() + self.unseen
    }
}

/// A page of groups by name, at most `limit`: first the lines without one, if there are any. `after` is the last name of
/// the page before.
///
/// # Errors
/// When they cannot be read.
pub async fn list(
    depot: &Depot,
    account: Option<AccountName>,
    after: Option<Option<String>>,
    limit: i64,
) -> Result<Vec<Group>, AppError> {
    depot
        .store
        .snapshot(move |conn| {
            let account = account.as_ref();
            let mut found = Vec::new();
            if after.is_none() {
                let mut without = Group::named(None);
                groups::count_without(conn, account)?.iter().for_each(|counted| without.add(counted));
                found.extend(Some(without).filter(|without| without.lines() > 0));
            }
            let left = limit - i64::try_from(found.len()).unwrap_or_default();
            let after = after.flatten();
            let names = groups::names_after(conn, account, after.as_deref(), left)?;
            let (Some(first), Some(last)) = (names.first(), names.last()) else {
                return Ok(found);
            };
            let counts = groups::count(conn, account, first, last)?;
            for name in names.into_iter().map(Some) {
                let mut group = Group::named(name.clone());
                for counted in counts.iter().filter(|counted| counted.group == name) {
                    group.add(counted);
                }
                found.push(group);
            }
            Ok(found)
        })
        .await
}
