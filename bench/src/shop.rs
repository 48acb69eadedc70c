//! A shop system (Vendure) driven through its public API.

use anyhow::{Result, bail};

use crate::compare::Setting;
use crate::options::Options;
use crate::scenarios::Told;

/// Runs it.
///
/// # Errors
/// When it cannot be installed.
pub fn run(_options: &Options, _setting: &mut Setting) -> Result<Vec<Told>> {
    bail!("not built yet")
}
