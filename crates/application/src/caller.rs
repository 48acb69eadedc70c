//! Who asks.

use simdepot_domain::channel::{ChannelName, Scope};
use simdepot_domain::id::ApiKeyId;

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its key; absent on the command line.
    pub key: Option<ApiKeyId>,
    /// Its channel: owns orders, references and the right to reveal.
    pub channel: ChannelName,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

impl Caller {
    /// Whether it has a scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it sees the whole stock, or only what was sold to its own channel.
    pub fn sees_all_stock(&self) -> bool {
        self.may(Scope::Stock)
    }

    /// Whether it works with every line, or only with those that were sold to its own channel: a storefront's key does
    /// that, whatever else it may do, unless it sees the whole stock.
    pub fn works_all_lines(&self) -> bool {
        self.sees_all_stock() || !self.may(Scope::Storefront)
    }
}
