//! The answer to an order that is fulfilled at once: everything that it shows was in the transaction that took it.

use std::collections::HashMap;

use simdepot_persistence::Conn;
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::secrets::{self, SealedCode};
use simdepot_persistence::vault::Vault;

use super::draft::Filled;
use super::read::{OrderLineView, OrderProfile, OrderView};
use crate::error::AppError;

/// An order as it was taken, its codes still sealed. They may be opened once the transaction is committed: the reveal is
/// an event of it.
#[derive(Debug)]
pub(super) struct Fresh {
    view: OrderView,
    codes: HashMap<i64, SealedCode>,
}

impl Fresh {
    /// The order with its codes, if the answer shows them.
    ///
    /// # Errors
    /// When a code does not open.
    pub(super) fn open(mut self) -> Result<OrderView, AppError> {
        for entry in self.view.lines.iter_mut().flat_map(|line| &mut line.profiles) {
            entry.activation = self.codes.get(&entry.profile.id).map(SealedCode::open).transpose()?;
        }
        Ok(self.view)
    }
}

/// The answers to those orders of a batch that are fulfilled with it; the others are read when they have come so far.
///
/// # Errors
/// When the profiles cannot be read.
pub(super) fn fresh(
    conn: &mut Conn<'_>,
    vault: &Vault,
    batch: &[Filled<'_>],
) -> Result<Vec<Option<Fresh>>, AppError> {
    let fulfilled = batch.iter().filter(|filled| filled.draft.is_fulfilled());
    let ids: Vec<i64> =
        fulfilled.flat_map(|filled| filled.new.places.iter().map(|place| place.profile.id)).collect();
    if ids.is_empty() {
        return Ok(batch.iter().map(|_| None).collect());
    }
    let read = secrets::profiles_with_codes(conn, vault, &ids)?;
    let mut found: HashMap<i64, (Profile, Option<SealedCode>)> =
        read.into_iter().map(|(profile, code)| (profile.id, (profile, code))).collect();
    let answer = |filled: &Filled<'_>| {
        if filled.draft.is_fulfilled() { of_order(filled, &mut found).map(Some) } else { Ok(None) }
    };
    batch.iter().map(answer).collect()
}

fn of_order(
    filled: &Filled<'_>,
    found: &mut HashMap<i64, (Profile, Option<SealedCode>)>,
) -> Result<Fresh, AppError> {
    let mut places = filled.new.places.iter().peekable();
    let (mut lines, mut codes) = (Vec::with_capacity(filled.new.lines.len()), HashMap::new());
    for line in &filled.new.lines {
        let mut profiles = Vec::new();
        while let Some(place) = places.next_if(|place| place.line_no == line.line_no) {
            let (profile, code) =
                found.remove(&place.profile.id).ok_or(AppError::NotFound { what: "profile" })?;
            if let Some(code) = code.filter(|_| filled.new.revealed) {
                codes.insert(profile.id, code);
            }
            profiles.push(OrderProfile { profile, outcome: place.outcome, bundle: None, activation: None });
        }
        let pool = filled.draft.pool_name(line).cloned().ok_or(AppError::NotFound { what: "pool" })?;
        let (product, quantity) = (line.product.clone(), line.quantity);
        lines.push(OrderLineView { pool, product, quantity, profiles });
    }
    Ok(Fresh { view: OrderView { order: filled.new.order.clone(), lines }, codes })
}
