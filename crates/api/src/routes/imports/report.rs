//! The report of an import as CSV, page by page: a file with a million bad rows does not fill the memory.

use actix_web::HttpResponse;
use actix_web::http::header::{ContentDisposition, DispositionParam, DispositionType};
use actix_web::web::Bytes;
use futures_util::stream;
use simdepot_application::{AppError, Depot, imports};
use simdepot_domain::id::ImportId;
use simdepot_persistence::imports::ReportedRow;

use crate::problem::ApiResult;

const HEADER: [&str; 6] = ["line", "result", "column", "code", "reason", "iccid"];
/// Rows per page.
const PAGE: i64 = 1_000;
/// Before the first row.
const START: i64 = -1;

/// A report on its way: what was read ahead, and where to read on.
struct Report {
    depot: Depot,
    id: ImportId,
    ahead: Option<Vec<ReportedRow>>,
    begun: bool,
}

/// The answer. What can be found wrong is found before it begins.
pub(super) async fn respond(depot: Depot, id: ImportId) -> ApiResult<HttpResponse> {
    let ahead = Some(imports::rows(&depot, id, START, PAGE).await?);
    let pages = stream::try_unfold(Report { depot, id, ahead, begun: false }, Report::page);
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
            let next = imports::rows(&self.depot, self.id, last.position, PAGE).await?;
            self.ahead = Some(next).filter(|next| !next.is_empty());
        }
        Ok(Some((page, self)))
    }
}

fn render(rows: &[ReportedRow], header: bool) -> Result<Bytes, AppError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if header {
        writer.write_record(HEADER).map_err(|error| unwritable(&error))?;
    }
    for row in rows {
        let (line, result) = (row.line.to_string(), row.result.to_string());
        let iccid = row.iccid.as_deref().unwrap_or_default();
        let cells = [&line, &result, &row.column, &row.code, &row.reason, iccid].map(harmless);
        writer.write_record(cells).map_err(|error| unwritable(&error))?;
    }
    let page = writer.into_inner().map_err(|error| AppError::Internal(error.to_string()))?;
    Ok(page.into())
}

fn unwritable(error: &csv::Error) -> AppError {
    AppError::Internal(format!("a report cannot be written: {error}"))
}

/// A cell that no spreadsheet takes for a formula (OWASP, CSV injection).
pub(in crate::routes) fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use simdepot_domain::import::RowResult;

    use super::*;

    #[test]
    fn a_report_is_csv_without_formulas() {
        let row = ReportedRow {
            position: 0,
            line: 17,
            result: RowResult::Rejected,
            column: "=cmd|' /C calc'!A0".to_owned(),
            code: "wrong-length".to_owned(),
            reason: "ICCID has 4 characters, \"expected\" 19".to_owned(),
            iccid: None,
        };
        let text = String::from_utf8(render(&[row], true).unwrap().to_vec()).unwrap();
        assert_eq!(
            text,
            "line,result,column,code,reason,iccid\n\
             17,rejected,'=cmd|' /C calc'!A0,wrong-length,\"ICCID has 4 characters, \"\"expected\"\" 19\",\n"
        );
        assert!(render(&[], false).unwrap().is_empty());
        for cell in ["+33", "-1", "@x", "\tx"] {
            assert_eq!(harmless(cell), format!("'{cell}"));
        }
    }
}
