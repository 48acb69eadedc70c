//! What a job asks for, whichever way it came. What a line is told is read as the body of the operation's own path is, so
//! that one line and many take the same.

use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use simdepot_application::AppError;
use simdepot_application::line_jobs::{AskedRow, JobRequest, Origin};
use simdepot_application::line_operations::LineRequest;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineCommand;
use simdepot_domain::line_job::LineJobOperation;
use validator::Validate;

use super::file;
use super::receive::Sent;
use crate::dto::line_command::{
    PlainRequest, SetupRequest, SwapSimRequest, TariffHolidayRequest, TerminateRequest, TestModeRequest,
    plain,
};
use crate::dto::line_job::{LineJobQuery, LineJobRequest};
use crate::extract::body;
use crate::problem::{Problem, ProblemField};

/// Errors told of one request.
pub(super) const SHOWN: usize = 100;

/// A job, or what would become of it.
pub(super) struct Asked {
    pub(super) job: JobRequest,
    pub(super) dry_run: bool,
}

/// Reads a job.
pub(super) fn read(sent: &Sent, query: LineJobQuery) -> Result<Asked, Problem> {
    match sent {
        Sent::List(bytes) => of_list(bytes, &query),
        Sent::File(bytes) => file::of_file(bytes, query),
    }
}

/// What one line is told.
pub(super) struct Told {
    pub(super) operation: LineJobOperation,
    pub(super) request: LineRequest,
    pub(super) confirm: bool,
    pub(super) dry_run: bool,
}

fn parse<T: DeserializeOwned + Validate>(body: &Json) -> Result<T, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|error| AppError::Internal(error.to_string()))?;
    body::parse(&bytes)
}

/// Reads the body of an operation.
pub(super) fn told(operation: LineJobOperation, body: &Json) -> Result<Told, Problem> {
    use LineJobOperation as Op;
    let (request, confirm, dry_run) = match operation {
        Op::Activate => {
            let asked: SetupRequest = parse(body)?;
            let dry_run = asked.dry_run;
            (asked.activate(), false, dry_run)
        }
        Op::Modify => {
            let asked: SetupRequest = parse(body)?;
            let dry_run = asked.dry_run;
            (asked.modify()?, false, dry_run)
        }
        Op::Terminate => {
            let asked: TerminateRequest = parse(body)?;
            (plain(LineCommand::Terminate), asked.confirm, asked.dry_run)
        }
        Op::SwapSim => {
            let asked: SwapSimRequest = parse(body)?;
            (plain(LineCommand::SwapSim { new_iccid: asked.new_iccid }), false, asked.dry_run)
        }
        Op::TariffHoliday => {
            let asked: TariffHolidayRequest = parse(body)?;
            (asked.command(), false, asked.dry_run)
        }
        Op::TestMode => {
            let asked: TestModeRequest = parse(body)?;
            let dry_run = asked.dry_run;
            (asked.command(), false, dry_run)
        }
        Op::Suspend | Op::Reactivate | Op::SwapMsisdn | Op::LeaveTariffHoliday | Op::LeaveTestMode => {
            let asked: PlainRequest = parse(body)?;
            (plain(command(operation)), false, asked.dry_run)
        }
    };
    let operation = LineJobOperation::of(request.command.action()).unwrap_or(operation);
    Ok(Told { operation, request, confirm, dry_run })
}

/// The command of an operation without data.
fn command(operation: LineJobOperation) -> LineCommand {
    match operation {
        LineJobOperation::Reactivate => LineCommand::Reactivate,
        LineJobOperation::SwapMsisdn => LineCommand::SwapMsisdn,
        LineJobOperation::LeaveTariffHoliday => LineCommand::LeaveTariffHoliday,
        LineJobOperation::LeaveTestMode => LineCommand::LeaveTestMode,
        _ => LineCommand::Suspend,
    }
}

/// What is wrong, told under other pointers. What is no matter of fields stays as it is.
pub(super) fn elsewhere(problem: Problem, pointer: impl Fn(&str) -> String) -> Problem {
    if problem.errors().is_empty() {
        return problem;
    }
    let moved = problem.errors().iter().map(|error| ProblemField {
        pointer: pointer(&error.pointer),
        code: error.code.clone(),
        message: error.message.clone(),
    });
    Problem::invalid(moved.collect())
}

fn of_list(bytes: &[u8], query: &LineJobQuery) -> Result<Asked, Problem> {
    if let Some(name) = file::given(query) {
        let message = "goes with a file; with JSON it belongs into the body";
        return Err(Problem::invalid_field(format!("?{name}"), "unexpected", message));
    }
    let asked: LineJobRequest = body::parse(bytes)?;
    let body = asked.body.unwrap_or_else(|| json!({}));
    let told = told(asked.operation.into(), &body)
        .map_err(|problem| elsewhere(problem, |pointer| format!("/body{pointer}")))?;
    let (mut rows, mut errors) = (Vec::with_capacity(asked.iccids.len()), Vec::new());
    for (at, text) in (0u64..).zip(&asked.iccids) {
        match Iccid::parse(text) {
            Ok(iccid) => rows.push(AskedRow { at, iccid, request: 0 }),
            Err(error) if errors.len() < SHOWN => errors.push(ProblemField {
                pointer: Origin::List.pointer(at, "iccid"),
                code: error.code().into(),
                message: error.to_string(),
            }),
            Err(_) => break,
        }
    }
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    let job = JobRequest {
        operation: told.operation,
        origin: Origin::List,
        requests: vec![told.request],
        rows,
        confirmed: asked.confirm || told.confirm,
    };
    Ok(Asked { job, dry_run: asked.dry_run || told.dry_run })
}
