//! How many operations of each account this process has in hand. A carrier that answers slowly would otherwise keep
//! every worker, and other carriers' orders waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use simdepot_domain::channel::AccountName;

/// Operations in hand by account, and whose turn it is.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<AccountName, usize>,
    last: Option<AccountName>,
}

impl InFlight {
    /// Takes a place at one of `accounts` that has fewer than `most` in hand, the one after the last that was taken
    /// first, so that every account gets its turn.
    pub fn enter(self: &Arc<Self>, accounts: &[AccountName], most: usize) -> Option<Place> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let after = accounts.iter().filter(|account| state.last.as_ref().is_some_and(|last| *account > last));
        let free = |account: &&AccountName| state.counts.get(*account).copied().unwrap_or_default() < most;
        let account = after.chain(accounts).find(free)?.clone();
        *state.counts.entry(account.clone()).or_default() += 1;
        state.last = Some(account.clone());
        Some(Place { account, of: Arc::clone(self) })
    }
}

/// One operation of an account in hand, until it is dropped.
#[derive(Debug)]
pub struct Place {
    /// The account.
    pub account: AccountName,
    of: Arc<InFlight>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = state.counts.get_mut(&self.account) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_take_turns_and_none_takes_all() {
        let of = Arc::new(InFlight::default());
        let accounts: Vec<_> = ["a", "b"].iter().map(|name| AccountName::parse(name).unwrap()).collect();
        let names: Vec<_> = (0..5).map(|_| of.enter(&accounts, 2)).collect();
        let taken: Vec<_> =
            names.iter().map(|place| place.as_ref().map(|place| place.account.as_str())).collect();
        assert_eq!(taken, [Some("a"), Some("b"), Some("a"), Some("b"), None]);
        drop(names);
        assert_eq!(of.enter(&accounts[1..], 1).unwrap().account.as_str(), "b");
        assert!(of.enter(&[], 1).is_none());
    }
}
