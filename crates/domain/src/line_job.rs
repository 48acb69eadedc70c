//! Line jobs: one command for many lines.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::line::LineAction;

/// Most lines of a job.
pub const MAX_ROWS: usize = 100_000;

/// What a job tells its lines, under the names of the paths that tell one line. A job has one operation.
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
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum LineJobOperation {
    /// See [`LineAction::Activate`].
    Activate,
    /// See [`LineAction::Modify`].
    Modify,
    /// See [`LineAction::Suspend`].
    Suspend,
    /// See [`LineAction::Reactivate`].
    Reactivate,
    /// See [`LineAction::Terminate`].
    Terminate,
    /// See [`LineAction::SwapSim`].
    SwapSim,
    /// See [`LineAction::SwapMsisdn`].
    SwapMsisdn,
    /// See [`LineAction::TariffHoliday`].
    TariffHoliday,
    /// See [`LineAction::LeaveTariffHoliday`].
    LeaveTariffHoliday,
    /// See [`LineAction::TestMode`].
    TestMode,
    /// See [`LineAction::LeaveTestMode`].
    LeaveTestMode,
}

impl LineJobOperation {
    /// Reads a name; upper case and underscores are as good.
    pub fn named(text: &str) -> Option<Self> {
        text.trim().to_ascii_lowercase().replace('_', "-").parse().ok()
    }

    /// The operation that tells lines to do `action`; contact data are personal, and not for jobs.
    pub fn of(action: LineAction) -> Option<Self> {
        Some(match action {
            LineAction::Activate => Self::Activate,
            LineAction::Modify => Self::Modify,
            LineAction::Suspend => Self::Suspend,
            LineAction::Reactivate => Self::Reactivate,
            LineAction::Terminate => Self::Terminate,
            LineAction::SwapSim => Self::SwapSim,
            LineAction::SwapMsisdn => Self::SwapMsisdn,
            LineAction::TariffHoliday => Self::TariffHoliday,
            LineAction::LeaveTariffHoliday => Self::LeaveTariffHoliday,
            LineAction::TestMode => Self::TestMode,
            LineAction::LeaveTestMode => Self::LeaveTestMode,
            LineAction::SetContact => return None,
        })
    }
}

/// How the rows of a job stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineJobCounts {
    /// All.
    pub total: u64,
    /// Those whose operation is open.
    pub running: u64,
    /// Those that the carrier did.
    pub done: u64,
    /// Those that were not done.
    pub refused: u64,
    /// Those that a person must decide.
    pub needs_attention: u64,
}

impl LineJobCounts {
    /// Those that wait for their turn.
    pub fn queued(&self) -> u64 {
        let told = self.running + self.done + self.refused + self.needs_attention;
        self.total.saturating_sub(told)
    }

    /// Whether every row has its result.
    pub fn all_ended(&self) -> bool {
        self.running == 0 && self.queued() == 0
    }

    /// The counts after a row went from one status to another.
    #[must_use]
    pub fn after(mut self, from: LineJobRowStatus, to: LineJobRowStatus) -> Self {
        if let Some(left) = self.of(from) {
            *left = left.saturating_sub(1);
        }
        if let Some(reached) = self.of(to) {
            *reached += 1;
        }
        self
    }

    fn of(&mut self, status: LineJobRowStatus) -> Option<&mut u64> {
        match status {
            LineJobRowStatus::Queued => None,
            LineJobRowStatus::Running => Some(&mut self.running),
            LineJobRowStatus::Done => Some(&mut self.done),
            LineJobRowStatus::Refused => Some(&mut self.refused),
            LineJobRowStatus::NeedsAttention => Some(&mut self.needs_attention),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_named_as_the_paths_are() {
        for action in LineAction::VARIANTS {
            let Some(operation) = LineJobOperation::of(*action) else {
                assert_eq!(*action, LineAction::SetContact);
                continue;
            };
            assert_eq!(operation.to_string().replace('-', "_"), action.to_string());
            for name in [operation.to_string(), action.to_string(), action.to_string().to_uppercase()] {
                assert_eq!(LineJobOperation::named(&name), Some(operation), "{name}");
            }
        }
        assert_eq!(LineJobOperation::named("set-contact"), None);
    }

    #[test]
    fn rows_are_counted_where_they_stand() {
        use LineJobRowStatus::{Done, NeedsAttention, Queued, Refused, Running};
        let counts = LineJobCounts { total: 3, ..LineJobCounts::default() };
        assert_eq!((counts.queued(), counts.all_ended()), (3, false));
        let counts = counts.after(Queued, Running).after(Queued, Running).after(Queued, Refused);
        assert_eq!((counts.queued(), counts.running, counts.refused, counts.all_ended()), (0, 2, 1, false));
        let counts = counts.after(Running, Done).after(Running, NeedsAttention);
        assert!(counts.all_ended());
        let counts = counts.after(NeedsAttention, Done);
        assert_eq!((counts.done, counts.needs_attention, counts.all_ended()), (2, 0, true));
    }
}
