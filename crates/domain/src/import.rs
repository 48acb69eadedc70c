//! Imports: one delivery file into one pool.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

/// Status of an import.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ImportStatus {
    /// Waits for its turn.
    Queued,
    /// Being read.
    Running,
    /// All accepted rows are in the stock.
    Completed,
    /// Nothing was imported.
    Failed,
    /// Was completed, and taken back whole.
    Undone,
}

/// What a refused row does to the others.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OnError {
    /// Nothing is imported.
    #[default]
    All,
    /// The others are imported.
    Skip,
}

/// What happened to a row that was not simply accepted.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RowResult {
    /// Refused: it must be corrected.
    Rejected,
    /// The SIM or its code is already in the stock, or came earlier in the file.
    Duplicate,
    /// Accepted, but look at it.
    Warning,
}

/// Counts of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImportCounts {
    /// Rows with content.
    pub rows: u64,
    /// Rows that became, or would become, profiles.
    pub accepted: u64,
    /// Rows refused.
    pub rejected: u64,
    /// Rows whose SIM or code is already there.
    pub duplicates: u64,
    /// Rows with a warning.
    pub warnings: u64,
    /// Rows of a fleet report whose SIM the stock has, and of which something was learned.
    #[serde(default)]
    pub updated: u64,
    /// Rows of a fleet report whose SIM the stock has, and which say nothing new.
    #[serde(default)]
    pub unchanged: u64,
}
