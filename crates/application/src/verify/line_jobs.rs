//! Line jobs against their events; how their rows are counted is an invariant of the tables.

use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::line_job::LineJobStatus;
use simdepot_persistence::Conn;
use simdepot_persistence::events::StoredEvent;
use simdepot_persistence::line_jobs::{self, LineJob};

use super::walk::Kind;
use super::{CHUNK, Report};
use crate::depot::Depot;
use crate::error::AppError;

/// Every line job.
pub(super) struct LineJobs;

impl Kind for LineJobs {
    type Row = LineJob;
    const KIND: SubjectKind = SubjectKind::LineJob;

    fn rows(conn: &mut Conn<'_>, _: &Depot, after: Option<&LineJob>) -> Result<Vec<LineJob>, AppError> {
        Ok(line_jobs::list(conn, None, None, after.map(|seen| seen.id), CHUNK)?)
    }

    fn subject(seen: &LineJob) -> String {
        seen.id.to_string()
    }

    fn version(seen: &LineJob) -> i64 {
        seen.version
    }

    fn differs(seen: &LineJob, story: &[StoredEvent]) -> Option<String> {
        let id = seen.id;
        let Some(Fact::LineJobCreated { operation, rows }) = story.first().map(|event| &event.fact) else {
            return Some(format!("line job {id} was never made, by its events"));
        };
        if *operation != seen.operation.to_string() || u64::from(*rows) != seen.counts.total {
            return Some(format!("line job {id} has another operation or other rows than its events say"));
        }
        let mut told = LineJobStatus::Running;
        for event in story.iter().skip(1) {
            match &event.fact {
                Fact::LineJobStatusChanged { from, to } if *from == told => told = *to,
                _ => return Some(format!("line job {id} has events that do not follow from each other")),
            }
        }
        if told != seen.status {
            return Some(format!("line job {id} is {} but its events say {told}", seen.status));
        }
        let completed = seen.status == LineJobStatus::Completed;
        (completed != seen.counts.all_ended())
            .then(|| format!("line job {id} is {told} but its rows say otherwise"))
    }

    fn count(report: &mut Report, _: &LineJob) {
        report.line_jobs += 1;
    }
}
