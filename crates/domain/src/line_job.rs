//! Line jobs: one command for many lines.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

/// Most lines of a job.
pub const MAX_ROWS: usize = 100_000;

/// Where a job stands.
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
pub enum LineJobStatus {
    /// Its lines are told one after the other.
    Running,
    /// No further line is told; what is under way ends.
    Paused,
    /// Every line has its result.
    Completed,
}

/// Where a line of a job stands.
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
pub enum LineJobRowStatus {
    /// Waits for its turn.
    Queued,
    /// Its operation is open.
    Running,
    /// The carrier did it.
    Done,
    /// It was not done: the line may not take the command, or the carrier refused.
    Refused,
    /// A person must decide its operation; what is decided shows here.
    NeedsAttention,
}

impl LineJobRowStatus {
    /// Whether the job has nothing left to do for it.
    pub fn is_final(self) -> bool {
        match self {
            Self::Done | Self::Refused | Self::NeedsAttention => true,
            Self::Queued | Self::Running => false,
        }
    }
}
