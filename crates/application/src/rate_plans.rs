//! Placeholder.
use crate::error::AppError;
use simdepot_domain::line::LineOption;
use simdepot_persistence::Conn;
pub(crate) fn check(_conn: &mut Conn<'_>, _rate_plan: &str, _options: &[LineOption]) -> Result<(), AppError> {
    Ok(())
}
