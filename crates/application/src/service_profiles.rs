//! Placeholder.
use crate::error::AppError;
use simdepot_domain::line::LineSetup;
use simdepot_persistence::Conn;
pub(crate) fn resolve(
    _conn: &mut Conn<'_>,
    _name: Option<&str>,
    setup: LineSetup,
) -> Result<LineSetup, AppError> {
    Ok(setup)
}
