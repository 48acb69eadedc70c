//! The report of a job as CSV, page by page.

use actix_web::HttpResponse;
use actix_web::http::header::{ContentDisposition, DispositionParam, DispositionType};
use actix_web::web::Bytes;
use futures_util::stream;
use serde_json::Value as Json;
use simdepot_application::{AppError, Caller, Depot, line_jobs};
use simdepot_domain::id::LineJobId;
use simdepot_persistence::line_jobs::LineJobRow;

use crate::problem::ApiResult;
use crate::routes::imports::harmless;

const HEADER: [&str; 6] = ["position", "iccid", "status", "operation", "code", "detail"];
/// Rows per page.
const PAGE: i64 = 1_000;

/// A report on its way: what was read ahead, and where to read on.
struct Report {
    depot: Depot,
    caller: Caller,
    id: LineJobId,
    ahead: Option<Vec<LineJobRow>>,
    begun: bool,
}

/// The answer. What can be found wrong is found before it begins.
pub(super) async fn respond(depot: Depot, caller: Caller, id: LineJobId) -> ApiResult<HttpResponse> {
    let ahead = Some(line_jobs::rows(&depot, &caller, id, 0, PAGE).await?);
    let pages = stream::try_unfold(Report { depot, caller, id, ahead, begun: false }, Report::page);
    let name = DispositionParam::Filename(format!("{id}.csv"));
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header(ContentDisposition {
            disposition: DispositionType::Attachment,
            parameters: vec![name],
        })
        .streaming(pages))
}

impl Report {
    async fn page(mut self) -> Result<Option<(Bytes, Self)>, AppError> {
        let Some(rows) = self.ahead.take() else {
            return Ok(None);
        };
        let page = render(&rows, !self.begun)?;
        self.begun = true;
        if let Some(last) = rows.last() {
            let next = line_jobs::rows(&self.depot, &self.caller, self.id, last.position, PAGE).await?;
            self.ahead = Some(next).filter(|next| !next.is_empty());
        }
        Ok(Some((page, self)))
    }
}

fn render(rows: &[LineJobRow], header: bool) -> Result<Bytes, AppError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if header {
        writer.write_record(HEADER).map_err(|error| unwritable(&error))?;
    }
    for row in rows {
        let text = |field: &str| {
            let value = row.problem.as_ref().and_then(|problem| problem.get(field));
            value.and_then(Json::as_str).unwrap_or_default().to_owned()
        };
        let operation = row.operation.map(|id| id.to_string()).unwrap_or_default();
        let (position, status) = (row.position.to_string(), row.status.to_string());
        let cells =
            [position, row.iccid.as_str().to_owned(), status, operation, text("code"), text("detail")];
        let cells = cells.map(|cell| harmless(&cell));
        writer.write_record(cells).map_err(|error| unwritable(&error))?;
    }
    let page = writer.into_inner().map_err(|error| AppError::Internal(error.to_string()))?;
    Ok(page.into())
}

fn unwritable(error: &csv::Error) -> AppError {
    AppError::Internal(format!("a report cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use simdepot_domain::iccid::Iccid;
    use simdepot_domain::line_job::LineJobRowStatus;

    use super::*;

    #[test]
    fn a_row_tells_its_result() {
        let row = LineJobRow {
            position: 3,
            iccid: Iccid::parse("8988247000000210014").unwrap(),
            status: LineJobRowStatus::Refused,
            operation: None,
            problem: Some(json!({ "code": "invalid-transition", "detail": "=1+1" })),
        };
        let text = String::from_utf8(render(&[row], true).unwrap().to_vec()).unwrap();
        assert_eq!(
            text,
            "position,iccid,status,operation,code,detail\n3,8988247000000210014,refused,,invalid-transition,'=1+1\n"
        );
    }
}
