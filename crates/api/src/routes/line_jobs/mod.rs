//! Line jobs: one command for many lines.

mod file;
mod receive;
mod report;
mod request;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use sha2::{Digest, Sha256};
use simdepot_application::{AppError, line_jobs};
use simdepot_domain::id::LineJobId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, page, position};
use crate::dto::headers::{IdempotencyHeader as IdempotencyHeaderDoc, LineJobPath};
use crate::dto::import::ImportForm;
use crate::dto::line_job::{
    LineJob, LineJobChangeRequest, LineJobPreview, LineJobQuery, LineJobRequest, LineJobsQuery,
};
use crate::extract::{Authenticated, IdempotencyHeader, IdempotentEmpty, PathParam, ValidQuery};
use crate::pagination::Page;
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(create_line_job)
        .service(list_line_jobs)
        .service(get_line_job)
        .service(get_line_job_rows)
        .service(pause_line_job)
        .service(resume_line_job);
}

/// Tell many lines something
///
/// Up to 100,000 lines: as JSON, or as a file (`text/csv`, or the only part of a form; up to 32 MiB) with a column `iccid`
/// and, where lines are told different things, a column for each field of the operation's own body; a file without a
/// header is a list of ICCIDs. A job with a wrong line is refused as a whole: `errors` names the lines, `/iccids/0` of a
/// list from 0, `/lines/17/iccid` of a file from 1. What a line may not take in its status is refused when its turn comes,
/// and shows in the report. Every line has an operation of its own.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"])),
    params(LineJobQuery, IdempotencyHeaderDoc),
    request_body(content(
        (LineJobRequest = "application/json"), (String = "text/csv"), (ImportForm = "multipart/form-data")
    )),
    responses(
        (status = 202, description = "Taken: follow the job.", body = LineJob, headers(
            ("Location" = String, description = "The job."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key made it."))),
        (status = 200, description = "With `dry_run`: what it would do.", body = LineJobPreview),
        (status = 409, description = "`idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/line-jobs")]
async fn create_line_job(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    ValidQuery(query): ValidQuery<LineJobQuery>,
    header: IdempotencyHeader,
    request: HttpRequest,
    payload: web::Payload,
) -> ApiResult<HttpResponse> {
    let sent = receive::receive(&request, payload.into_inner()).await?;
    let key = header.bind(&request, &Sha256::digest(sent.bytes()));
    // A large job takes a while to read.
    let reading = tokio::task::spawn_blocking(move || request::read(&sent, query));
    let asked = reading.await.map_err(|error| AppError::Internal(error.to_string()))??;
    if asked.dry_run {
        let preview = line_jobs::preview(&state.depot, &caller, asked.job).await?;
        return Ok(HttpResponse::Ok().json(LineJobPreview::from(preview)));
    }
    let (job, replayed) = line_jobs::create(&state.depot, &caller, asked.job, key.as_ref()).await?;
    let location = Some(format!("/v1/line-jobs/{}", job.id));
    Ok(Answer { status: StatusCode::ACCEPTED, location, replayed }.json(&LineJob::from(job)))
}

/// List line jobs
///
/// Those of the key's channel; all for a key with the scope `stock`.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"])),
    params(LineJobsQuery),
    responses((status = 200, description = "A page of jobs, newest first.", body = Page<LineJob>,
        headers(("Link" = String, description = "The next page, `rel=\"next\"`."))))
)]
#[get("/v1/line-jobs")]
async fn list_line_jobs(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    ValidQuery(query): ValidQuery<LineJobsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let before = position(query.cursor.as_deref())?;
    let (status, limit) = (query.status.map(Into::into), query.limit);
    let found = line_jobs::list(&state.depot, &caller, status, before, limit.with_one_more()).await?;
    page(&request, limit, found, |last| last.id, LineJob::from)
}

/// Get a line job
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"])),
    params(LineJobPath),
    responses((status = 200, description = "The job.", body = LineJob))
)]
#[get("/v1/line-jobs/{id}")]
async fn get_line_job(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<LineJobId>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(LineJob::from(line_jobs::get(&state.depot, &caller, id).await?)))
}

/// Get a line job's report
///
/// Every line with its result, as CSV. Cells that a spreadsheet would take for a formula begin with an apostrophe.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"])),
    params(LineJobPath),
    responses((status = 200, description = "`position,iccid,status,operation,code,detail`", body = String,
        content_type = "text/csv"))
)]
#[get("/v1/line-jobs/{id}/rows.csv")]
async fn get_line_job_rows(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<LineJobId>,
) -> ApiResult<HttpResponse> {
    report::respond(state.depot.clone(), caller, id).await
}

/// Pause a line job
///
/// No further line is told; what is under way ends. A job that is paused stays so.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"])),
    params(LineJobPath, IdempotencyHeaderDoc),
    request_body = Option<LineJobChangeRequest>,
    responses(
        (status = 200, description = "The job, paused.", body = LineJob, headers(
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 409, description = "`invalid-transition`: it is completed; `idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/line-jobs/{id}/pause")]
async fn pause_line_job(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<LineJobId>,
    asked: IdempotentEmpty<LineJobChangeRequest>,
) -> ApiResult<HttpResponse> {
    let (job, replayed) = line_jobs::pause(&state.depot, &caller, id, asked.key.as_ref()).await?;
    Ok(Answer { status: StatusCode::OK, location: None, replayed }.json(&LineJob::from(job)))
}

/// Resume a line job
///
/// Goes on with a job that was paused. A job that is running stays so.
#[utoipa::path(
    tag = "Lines",
    security(("bearer" = ["lines"])),
    params(LineJobPath, IdempotencyHeaderDoc),
    request_body = Option<LineJobChangeRequest>,
    responses(
        (status = 200, description = "The job, running.", body = LineJob, headers(
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 409, description = "`invalid-transition`: it is completed; `idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/line-jobs/{id}/resume")]
async fn resume_line_job(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<LineJobId>,
    asked: IdempotentEmpty<LineJobChangeRequest>,
) -> ApiResult<HttpResponse> {
    let (job, replayed) = line_jobs::resume(&state.depot, &caller, id, asked.key.as_ref()).await?;
    Ok(Answer { status: StatusCode::OK, location: None, replayed }.json(&LineJob::from(job)))
}
