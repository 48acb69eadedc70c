//! Stock files: what a carrier sends along with a batch of profiles.
//!
//! [`Reader`] turns a file of any size into [`Row`]s, one at a time and in flat memory. A row that cannot be used is a
//! [`RowError`] with its line, column and reason, and reading goes on behind it; what is odd but usable is a warning
//! on the row. Whether a profile is already known, in the store or earlier in the same file, is not decided here.
//!
//! ```
//! use simdepot_domain::delivery::{Format, Reader};
//!
//! let file = "ICCID;MSISDN;Status\n8965880812100011146;+33612345678;Pre-Activated\n";
//! for row in Reader::new(file.as_bytes(), Format::Delivery)? {
//!     match row {
//!         Ok(row) => assert_eq!(row.iccid.as_str(), "8965880812100011146"),
//!         Err(error) if error.is_fatal() => break, // the file could not be read to its end
//!         Err(error) => assert!(error.issue.line > 1),
//!     }
//! }
//! # Ok::<(), simdepot_domain::delivery::HeaderError>(())
//! ```

mod header;
mod lines;
mod park;
mod reader;
mod row;
#[cfg(test)]
mod tests;

pub use header::HeaderError;
pub use reader::{RawRows, Reader, RowReader};
pub use row::{Row, RowError, RowIssue};

/// The kind of a stock file.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
    serde::Serialize,
    serde::Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A delivery file: a header line names the columns (Transatel SIM delivery file).
    #[default]
    Delivery,
    /// A fleet report, `*_park.csv`: columns by position, statuses in the language of the account (Transatel
    /// subscription report).
    Park,
}
