//! Refunds: whether anything of an order was used, and what says so.
//!
//! simdepot pays nobody back. It says what the carrier's records and its own show, so that whoever decides a refund
//! need not take anybody's word for it.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::bundle::BundleStatus;
use crate::esim::EsimStatus;
use crate::order::ProfileOutcome;
use crate::sim::SimStatus;

/// Why an order's price may not be paid back, or what must be known before it is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
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
pub enum RefundReason {
    /// Something was sent to the carrier and its outcome is not known yet.
    OutcomeOpen,
    /// A device has, or had, the profile.
    ProfileDownloaded,
    /// The SM-DP+ has bound the profile to a device.
    DeviceBound,
    /// A bundle has started.
    BundleStarted,
    /// The line went beyond the status in which it was sold.
    LineActive,
    /// Nothing speaks against it, but the carrier was not asked for this answer or did not say all of it: what is known
    /// is from before, and the profile may have been used since.
    NotVerified,
    /// The activation code was shown: nothing was used by that, but the profile cannot be sold again.
    CodeWasShown,
}

impl RefundReason {
    /// Whether it stands against paying back.
    pub fn forbids(self) -> bool {
        match self {
            Self::OutcomeOpen
            | Self::ProfileDownloaded
            | Self::DeviceBound
            | Self::BundleStarted
            | Self::LineActive
            | Self::NotVerified => true,
            Self::CodeWasShown => false,
        }
    }

    /// What it means.
    pub fn explain(self) -> &'static str {
        match self {
            Self::OutcomeOpen => "something was sent to the carrier for it and its outcome is not known yet",
            Self::ProfileDownloaded => "a device has downloaded the profile",
            Self::DeviceBound => "the profile is bound to a device",
            Self::BundleStarted => "a bundle on it has started",
            Self::LineActive => "its line was put to use",
            Self::NotVerified => {
                "the carrier could not be asked for all of it now, and it may have been used since it last was: ask again later"
            }
            Self::CodeWasShown => {
                "its activation code was shown: that is no use, but the profile cannot be sold again"
            }
        }
    }
}

/// What is known of a bundle, as far as a refund looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleEvidence {
    /// Where it stands.
    pub status: BundleStatus,
    /// The carrier gives a date of its start, or some of it is used up.
    pub touched: bool,
}

impl BundleEvidence {
    /// Whether it was used, or has begun to be.
    pub fn used(self) -> bool {
        match self.status {
            BundleStatus::Active | BundleStatus::Exhausted | BundleStatus::Expired => true,
            BundleStatus::Ordering
            | BundleStatus::Preloaded
            | BundleStatus::Ready
            | BundleStatus::Scheduled
            | BundleStatus::Terminated
            | BundleStatus::Refused
            | BundleStatus::Unknown => self.touched,
        }
    }

    /// Whether nobody can say yet what the carrier did.
    fn open(self) -> bool {
        matches!(self.status, BundleStatus::Ordering | BundleStatus::Unknown)
    }
}

/// What is known of one profile that was handed over, as far as a refund looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileEvidence {
    /// What became of it in its order.
    pub outcome: ProfileOutcome,
    /// Its code was shown.
    pub revealed: bool,
    /// The line.
    pub sim: Option<SimStatus>,
    /// Statuses in which its pool sells lines: those are no sign of use.
    pub sold_as: Vec<SimStatus>,
    /// The eSIM.
    pub esim: Option<EsimStatus>,
    /// A device's EID is bound to it.
    pub eid_bound: bool,
    /// What is on it.
    pub bundles: Vec<BundleEvidence>,
    /// The carrier was asked for this answer and said all of it.
    pub verified: bool,
}

/// What stands against paying a profile back, and what must be known of it, worst first. An order may be paid back
/// when no reason of any of its profiles [forbids](RefundReason::forbids) it.
///
/// Old evidence is enough to refuse, for use is not undone. It is not enough to allow.
pub fn reasons(profile: &ProfileEvidence) -> Vec<RefundReason> {
    let outcome_open = match profile.outcome {
        ProfileOutcome::Pending | ProfileOutcome::Unknown | ProfileOutcome::NeedsAttention => true,
        ProfileOutcome::Fulfilled
        | ProfileOutcome::Failed
        | ProfileOutcome::Substituted
        | ProfileOutcome::Cancelled => false,
    };
    let mut told: Vec<RefundReason> = [
        (RefundReason::OutcomeOpen, outcome_open || profile.bundles.iter().any(|bundle| bundle.open())),
        (RefundReason::ProfileDownloaded, profile.esim.is_some_and(EsimStatus::was_downloaded)),
        (RefundReason::DeviceBound, profile.eid_bound),
        (RefundReason::BundleStarted, profile.bundles.iter().any(|bundle| bundle.used())),
        (RefundReason::LineActive, profile.sim.is_some_and(|sim| was_put_to_use(sim, &profile.sold_as))),
        (RefundReason::CodeWasShown, profile.revealed),
    ]
    .into_iter()
    .filter(|(_, holds)| *holds)
    .map(|(reason, _)| reason)
    .collect();
    if !profile.verified && !told.iter().any(|reason| reason.forbids()) {
        told.insert(0, RefundReason::NotVerified);
    }
    told
}

/// Whether a line went beyond the statuses in which it was sold. What comes after `active` was active before, but a
/// line can be terminated without ever having been used: the other evidence decides that.
fn was_put_to_use(sim: SimStatus, sold_as: &[SimStatus]) -> bool {
    let used = match sim {
        SimStatus::Active | SimStatus::Suspended | SimStatus::TariffHoliday | SimStatus::Ceased => true,
        SimStatus::Available
        | SimStatus::Loaded
        | SimStatus::Preactivated
        | SimStatus::TestMode
        | SimStatus::Terminated => false,
    };
    used && !sold_as.contains(&sim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options<T: Copy>(all: &[T]) -> Vec<Option<T>> {
        std::iter::once(None).chain(all.iter().copied().map(Some)).collect()
    }

    fn bundles() -> Vec<Vec<BundleEvidence>> {
        let each = BundleStatus::VARIANTS.iter().flat_map(|status| {
            [false, true].map(|touched| vec![BundleEvidence { status: *status, touched }])
        });
        let both = BundleStatus::VARIANTS.iter().map(|status| {
            [BundleStatus::Preloaded, *status]
                .map(|status| BundleEvidence { status, touched: false })
                .to_vec()
        });
        std::iter::once(Vec::new()).chain(each).chain(both).collect()
    }

    /// Every combination of what can be known, held against the rule in plain words.
    #[test]
    fn eligible_means_that_nothing_was_used_and_nothing_is_open_by_the_carriers_word() {
        use ProfileOutcome as P;
        let bundles = bundles();
        let mut eligible = 0u32;
        for outcome in P::VARIANTS {
            for esim in options(EsimStatus::VARIANTS) {
                for sim in options(SimStatus::VARIANTS) {
                    for flags in 0..8 {
                        let (revealed, eid_bound, verified) = (flags & 1 > 0, flags & 2 > 0, flags & 4 > 0);
                        for bundles in &bundles {
                            let profile = ProfileEvidence {
                                outcome: *outcome,
                                revealed,
                                sim,
                                sold_as: vec![SimStatus::Preactivated],
                                esim,
                                eid_bound,
                                bundles: bundles.clone(),
                                verified,
                            };
                            let reasons = reasons(&profile);
                            let told = |reason| reasons.contains(&reason);
                            let open = matches!(outcome, P::Pending | P::Unknown | P::NeedsAttention)
                                || bundles.iter().any(|bundle| {
                                    matches!(bundle.status, BundleStatus::Ordering | BundleStatus::Unknown)
                                });
                            let started = bundles.iter().any(|bundle| {
                                bundle.touched
                                    || matches!(
                                        bundle.status,
                                        BundleStatus::Active
                                            | BundleStatus::Exhausted
                                            | BundleStatus::Expired
                                    )
                            });
                            let downloaded = matches!(
                                esim,
                                Some(
                                    EsimStatus::Downloaded
                                        | EsimStatus::Installed
                                        | EsimStatus::Enabled
                                        | EsimStatus::Disabled
                                        | EsimStatus::Deleted
                                )
                            );
                            let line = matches!(
                                sim,
                                Some(
                                    SimStatus::Active
                                        | SimStatus::Suspended
                                        | SimStatus::TariffHoliday
                                        | SimStatus::Ceased
                                )
                            );
                            assert_eq!(told(RefundReason::OutcomeOpen), open, "{profile:?}");
                            assert_eq!(told(RefundReason::ProfileDownloaded), downloaded, "{profile:?}");
                            assert_eq!(told(RefundReason::DeviceBound), eid_bound, "{profile:?}");
                            assert_eq!(told(RefundReason::BundleStarted), started, "{profile:?}");
                            assert_eq!(told(RefundReason::LineActive), line, "{profile:?}");
                            assert_eq!(told(RefundReason::CodeWasShown), revealed, "{profile:?}");
                            let used = open || downloaded || eid_bound || started || line;
                            assert_eq!(told(RefundReason::NotVerified), !used && !verified, "{profile:?}");
                            let forbidden = reasons.iter().any(|reason| reason.forbids());
                            assert_eq!(forbidden, used || !verified, "{profile:?}");
                            eligible += u32::from(!forbidden);
                        }
                    }
                }
            }
        }
        assert!(eligible > 0);
    }

    #[test]
    fn a_line_that_was_sold_active_is_not_used_for_being_active() {
        let profile = ProfileEvidence {
            outcome: ProfileOutcome::Fulfilled,
            revealed: false,
            sim: Some(SimStatus::Active),
            sold_as: vec![SimStatus::Preactivated, SimStatus::Active],
            esim: None,
            eid_bound: false,
            bundles: Vec::new(),
            verified: true,
        };
        assert_eq!(reasons(&profile), []);
        let suspended = ProfileEvidence { sim: Some(SimStatus::Suspended), ..profile };
        assert_eq!(reasons(&suspended), [RefundReason::LineActive]);
    }

    #[test]
    fn only_a_shown_code_does_not_forbid() {
        for reason in RefundReason::VARIANTS {
            assert_eq!(reason.forbids(), *reason != RefundReason::CodeWasShown);
            assert!(!reason.explain().is_empty());
        }
    }
}
