//! The answer to an order that is fulfilled at once: everything that it shows was in the transaction that took it.

use std::collections::HashMap;

use simdepot_persistence::StoreError;
use simdepot_persistence::intake::Allotted;
use simdepot_persistence::secrets::SealedCode;

use super::draft::Filled;
use super::read::{OrderLineView, OrderProfile, OrderView};
use crate::error::AppError;

/// An order as it was taken, its codes still sealed. They may be opened once the transaction is committed: the reveal is
/// an event of it.
#[derive(Debug)]
pub(super) struct Fresh {
    view: OrderView,
    codes: HashMap<i64, Result<SealedCode, StoreError>>,
}

impl Fresh {
    /// The order with its codes, if the answer shows them.
    ///
    /// # Errors
    /// When a code does not open.
    pub(super) fn open(mut self) -> Result<OrderView, AppError> {
        for entry in self.view.lines.iter_mut().flat_map(|line| &mut line.profiles) {
            let code = self.codes.remove(&entry.profile.id).transpose()?;
            entry.activation = code.map(|code| code.open()).transpose()?;
        }
        Ok(self.view)
    }
}

/// The answer to an order that is fulfilled as it is taken; another is read when it has come so far.
///
/// # Errors
/// When it does not have what it asked for.
pub(super) fn fresh(filled: Filled<'_>, allotted: Vec<Allotted>) -> Result<Option<Fresh>, AppError> {
    if !filled.draft.is_fulfilled() {
        return Ok(None);
    }
    let Filled { draft, new, .. } = filled;
    let mut places = new.places.iter().zip(allotted).peekable();
    let (mut lines, mut codes) = (Vec::with_capacity(new.lines.len()), HashMap::new());
    for line in new.lines {
        let mut profiles = Vec::new();
        while let Some((place, Allotted { profile, code, .. })) =
            places.next_if(|(place, _)| place.line_no == line.line_no)
        {
            if let Some(code) = code.filter(|_| new.revealed) {
                codes.insert(profile.id, code);
            }
            profiles.push(OrderProfile { profile, outcome: place.outcome, bundle: None, activation: None });
        }
        let pool = draft.pool_name(&line).cloned().ok_or(AppError::NotFound { what: "pool" })?;
        lines.push(OrderLineView { pool, product: line.product, quantity: line.quantity, profiles });
    }
    Ok(Some(Fresh { view: OrderView { order: new.order, lines }, codes }))
}
