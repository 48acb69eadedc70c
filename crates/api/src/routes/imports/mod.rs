//! Imports of delivery files.

mod report;
mod upload;

pub(super) use report::harmless;
pub(crate) use upload::sweep;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use simdepot_application::imports::{self, ImportView, StartedAs};
use simdepot_domain::id::ImportId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::reply::{Answer, page, position};
use crate::dto::headers::{IdempotencyHeader as IdempotencyHeaderDoc, ImportPath, PreferHeader};
use crate::dto::import::{Import, ImportForm, ImportQuery, ImportsQuery, UndoRequest};
use crate::extract::{Authenticated, IdempotencyHeader, IdempotentEmpty, PathParam, PreferWait, ValidQuery};
use crate::pagination::Page;
use crate::problem::{ApiResult, Problem};
use crate::state::AppState;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(create_import)
        .service(list_imports)
        .service(get_import)
        .service(get_import_rows)
        .service(undo_import);
}

/// Import a delivery file
///
/// The file is the body (`text/csv`), or the only part of a form; up to 2 GiB. The import goes on when the client stops
/// waiting. The same file again into the same pool answers the import that brought it in.
#[utoipa::path(
    tag = "Imports",
    security(("bearer" = ["stock"])),
    params(ImportQuery, IdempotencyHeaderDoc, PreferHeader),
    request_body(content((String = "text/csv"), (ImportForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "The same file was imported into the pool before.", body = Import,
            headers(("Location" = String, description = "The import."))),
        (status = 201, description = "Finished: `completed`, or `failed` with the refused rows.", body = Import, headers(
            ("Location" = String, description = "The import."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key made it."))),
        (status = 202, description = "Under way.", body = Import, headers(
            ("Location" = String, description = "The import."),
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key made it."))),
        (status = 409, description = "`idempotency-in-flight`.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[post("/v1/imports")]
async fn create_import(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    ValidQuery(query): ValidQuery<ImportQuery>,
    header: IdempotencyHeader,
    PreferWait(wait): PreferWait<10>,
    request: HttpRequest,
    payload: web::Payload,
) -> ApiResult<HttpResponse> {
    let file = upload::receive(&request, payload.into_inner(), &state.settings).await?;
    let key = header.bind(&request, &file.digest);
    let asked = query.into_start(file.name.clone());
    let (id, started_as) = upload::import(&state, caller, asked, key, file).await?;
    let view = imports::wait(&state.depot, id, wait).await?;
    Ok(answer_to(started_as, &view).json(&Import::from(view)))
}

fn answer_to(started_as: StartedAs, view: &ImportView) -> Answer {
    let location = Some(format!("/v1/imports/{}", view.import.id));
    let finished = view.import.finished_at.is_some();
    let progress = if finished { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    match started_as {
        StartedAs::Created => Answer { status: progress, location, replayed: false },
        StartedAs::Replayed => Answer { status: progress, location, replayed: true },
        StartedAs::Repeated => Answer { status: StatusCode::OK, location, replayed: false },
    }
}

/// List imports
#[utoipa::path(
    tag = "Imports",
    security(("bearer" = ["stock"])),
    params(ImportsQuery),
    responses(
        (status = 200, description = "A page of imports, newest first.", body = Page<Import>,
            headers(("Link" = String, description = "The next page, `rel=\"next\"`."))),
        (status = 404, description = "`not-found`: there is no such pool.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
#[get("/v1/imports")]
async fn list_imports(
    state: web::Data<AppState>,
    _: Authenticated,
    ValidQuery(query): ValidQuery<ImportsQuery>,
    request: HttpRequest,
) -> ApiResult<HttpResponse> {
    let before = position(query.cursor.as_deref())?;
    let found = imports::list(&state.depot, query.pool, before, query.limit.with_one_more()).await?;
    page(&request, query.limit, found, |last| last.import.batch_no, Import::from)
}

/// Get an import
#[utoipa::path(
    tag = "Imports",
    security(("bearer" = ["stock"])),
    params(ImportPath),
    responses((status = 200, description = "The import.", body = Import))
)]
#[get("/v1/imports/{id}")]
async fn get_import(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(id): PathParam<ImportId>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Ok().json(Import::from(imports::get(&state.depot, id).await?)))
}

/// Get an import's report
///
/// All rows that were refused, known already or accepted with a warning, as CSV. Cells that a spreadsheet would take for
/// a formula begin with an apostrophe.
#[utoipa::path(
    tag = "Imports",
    security(("bearer" = ["stock"])),
    params(ImportPath),
    responses((status = 200, description = "`line,result,column,code,reason,iccid`", body = String, content_type = "text/csv"))
)]
#[get("/v1/imports/{id}/rows.csv")]
async fn get_import_rows(
    state: web::Data<AppState>,
    _: Authenticated,
    PathParam(id): PathParam<ImportId>,
) -> ApiResult<HttpResponse> {
    report::respond(state.depot.clone(), id).await
}

/// Undo an import
///
/// Takes the whole batch out of the stock again, as long as none of its profiles was touched. The file may then be
/// imported once more.
#[utoipa::path(
    tag = "Imports",
    security(("bearer" = ["stock"])),
    params(ImportPath, IdempotencyHeaderDoc),
    request_body = Option<UndoRequest>,
    responses(
        (status = 200, description = "The import, undone.", body = Import, headers(
            ("Idempotency-Replayed" = String, description = "`true` when an earlier request with the key did it."))),
        (status = 409, description = "`invalid-transition`: it is not completed, or one of its profiles was touched; \
            `idempotency-in-flight`.", body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/v1/imports/{id}/undo")]
async fn undo_import(
    state: web::Data<AppState>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<ImportId>,
    asked: IdempotentEmpty<UndoRequest>,
) -> ApiResult<HttpResponse> {
    let (view, replayed) = imports::undo(&state.depot, &caller, id, asked.key.as_ref()).await?;
    Ok(Answer { status: StatusCode::OK, location: None, replayed }.json(&Import::from(view)))
}
