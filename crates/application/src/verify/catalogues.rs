//! Rate plans and service profiles against their events, which tell how much was written and not what.

use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_persistence::Conn;
use simdepot_persistence::events::StoredEvent;
use simdepot_persistence::rate_plans::{self, RatePlan};
use simdepot_persistence::service_profiles::{self, NamedProfile};

use super::walk::Kind;
use super::{CHUNK, Report};
use crate::depot::Depot;
use crate::error::AppError;

/// Every rate plan.
pub(super) struct RatePlans;

impl Kind for RatePlans {
    type Row = RatePlan;
    const KIND: SubjectKind = SubjectKind::RatePlan;

    fn rows(conn: &mut Conn<'_>, _: &Depot, after: Option<&RatePlan>) -> Result<Vec<RatePlan>, AppError> {
        Ok(rate_plans::list(conn, after.map(|seen| seen.rate_plan.as_str()), CHUNK)?)
    }

    fn subject(seen: &RatePlan) -> String {
        seen.rate_plan.clone()
    }

    fn version(seen: &RatePlan) -> i64 {
        seen.version
    }

    fn differs(seen: &RatePlan, story: &[StoredEvent]) -> Option<String> {
        let stored = u32::try_from(seen.catalogue.options.len()).ok();
        let told = match story.last().map(|event| &event.fact) {
            Some(Fact::RatePlanOptionsSet { options }) => Some(*options),
            _ => None,
        };
        (told != stored)
            .then(|| format!("rate plan {} has other options than its events say", seen.rate_plan))
    }

    fn count(report: &mut Report, _: &RatePlan) {
        report.rate_plans += 1;
    }
}

/// Every service profile.
pub(super) struct ServiceProfiles;

impl Kind for ServiceProfiles {
    type Row = NamedProfile;
    const KIND: SubjectKind = SubjectKind::ServiceProfile;

    fn rows(
        conn: &mut Conn<'_>,
        _: &Depot,
        after: Option<&NamedProfile>,
    ) -> Result<Vec<NamedProfile>, AppError> {
        Ok(service_profiles::list(conn, after.map(|seen| seen.name.as_str()), CHUNK)?)
    }

    fn subject(seen: &NamedProfile) -> String {
        seen.name.clone()
    }

    fn version(seen: &NamedProfile) -> i64 {
        seen.version
    }

    fn differs(seen: &NamedProfile, story: &[StoredEvent]) -> Option<String> {
        let stored = (seen.profile.rate_plan.as_ref(), u32::try_from(seen.profile.options.len()).ok());
        let told = match story.last().map(|event| &event.fact) {
            Some(Fact::ServiceProfileSet { rate_plan, options }) => (rate_plan.as_ref(), Some(*options)),
            _ => (None, None),
        };
        (told != stored).then(|| {
            format!("service profile {} has another rate plan or options than its events say", seen.name)
        })
    }

    fn count(report: &mut Report, _: &NamedProfile) {
        report.service_profiles += 1;
    }
}
