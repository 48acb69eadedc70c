//! A job as a file: a line of it for each line, with columns in any order, or nothing but ICCIDs.

use std::collections::HashMap;

use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::{Map, Value as Json, json};
use simdepot_application::line_jobs::{AskedRow, JobRequest, Origin};
use simdepot_application::line_operations::LineRequest;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line_job::{LineJobOperation, MAX_ROWS};

use super::request::{Asked, SHOWN, told};
use crate::dto::line_job::LineJobQuery;
use crate::problem::{Problem, ProblemField};

/// Fields of the operations' bodies that a query or a column may give.
const FIELDS: [&str; 7] = [
    "rate_plan",
    "service_profile",
    "options",
    "group",
    "external_reference",
    "country_of_residence",
    "new_iccid",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Iccid,
    Operation,
    Field(&'static str),
}

impl Column {
    fn named(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase().replace([' ', '-'], "_");
        match name.as_str() {
            "iccid" | "simserial" | "sim_serial" => Some(Self::Iccid),
            "operation" => Some(Self::Operation),
            field => FIELDS.iter().find(|known| **known == field).copied().map(Self::Field),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Iccid => "iccid",
            Self::Operation => "operation",
            Self::Field(name) => name,
        }
    }
}

/// What the query gives for every line.
fn fields(query: &LineJobQuery) -> Vec<(&'static str, String)> {
    let given = [
        &query.rate_plan,
        &query.service_profile,
        &query.options,
        &query.group,
        &query.external_reference,
        &query.country_of_residence,
        &query.new_iccid,
    ];
    FIELDS.into_iter().zip(given).filter_map(|(name, text)| Some((name, text.clone()?))).collect()
}

/// A parameter of a file's query that is given.
pub(super) fn given(query: &LineJobQuery) -> Option<&'static str> {
    if query.operation.is_some() {
        return Some("operation");
    }
    if query.confirm {
        return Some("confirm");
    }
    if query.dry_run {
        return Some("dry_run");
    }
    fields(query).first().map(|(name, _)| *name)
}

/// Reads a file. What is wrong with its lines is told together.
pub(super) fn of_file(bytes: &[u8], query: LineJobQuery) -> Result<Asked, Problem> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first_line = bytes.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    let delimiter = if first_line.is_some_and(|line| line.contains(&b';')) { b';' } else { b',' };
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .trim(Trim::All)
        .from_reader(bytes);
    let mut file = File::of(&query);
    let mut record = StringRecord::new();
    while file.wants_more() {
        let at = reader.position().line();
        match reader.read_record(&mut record) {
            Ok(true) => file.take(&record),
            Ok(false) => break,
            Err(_) => {
                file.wrong(format!("/lines/{at}"), "encoding", "cannot be read as CSV in UTF-8");
                break;
            }
        }
    }
    file.finish(&query)
}

/// A file being read.
struct File {
    /// Set by the query, else by the first line that names it.
    operation: Option<LineJobOperation>,
    fields: Vec<(&'static str, String)>,
    columns: Vec<Column>,
    requests: Vec<LineRequest>,
    /// What the lines say that were read, and which request that is; none for what is wrong.
    known: HashMap<Vec<String>, Option<usize>>,
    rows: Vec<AskedRow>,
    errors: Vec<ProblemField>,
    unreadable: bool,
}

impl File {
    fn of(query: &LineJobQuery) -> Self {
        Self {
            operation: query.operation.map(Into::into),
            fields: fields(query),
            columns: Vec::new(),
            requests: Vec::new(),
            known: HashMap::new(),
            rows: Vec::new(),
            errors: Vec::new(),
            unreadable: false,
        }
    }

    fn wants_more(&self) -> bool {
        !self.unreadable && self.errors.len() < SHOWN && self.rows.len() <= MAX_ROWS
    }

    fn wrong(&mut self, pointer: String, code: &'static str, message: impl Into<String>) {
        if self.errors.len() < SHOWN {
            self.errors.push(ProblemField { pointer, code: code.into(), message: message.into() });
        }
    }

    fn take(&mut self, record: &StringRecord) {
        if record.iter().all(str::is_empty) {
            return;
        }
        let line = record.position().map_or(0, csv::Position::line);
        if self.columns.is_empty() {
            if record.get(0).is_none_or(|cell| Iccid::parse(cell).is_err()) {
                return self.header(record, line);
            }
            self.columns = vec![Column::Iccid];
        }
        self.row(record, line);
    }

    fn header(&mut self, record: &StringRecord, line: u64) {
        let mut columns = Vec::new();
        for name in record {
            match Column::named(name) {
                Some(column) if columns.contains(&column) => {
                    let message = format!("the column {} is there twice", column.name());
                    self.wrong(format!("/lines/{line}"), "duplicate-column", message);
                }
                Some(column) => columns.push(column),
                None => {
                    let known = FIELDS.join(", ");
                    let message =
                        format!("the column {name:?} is unknown; known are iccid, operation, {known}");
                    self.wrong(format!("/lines/{line}"), "unknown-column", message);
                }
            }
        }
        if !columns.contains(&Column::Iccid) {
            let message = "the file needs a column iccid, or nothing but ICCIDs";
            self.wrong(format!("/lines/{line}"), "missing-column", message);
        }
        self.columns = columns;
        // What stands in such columns cannot be told.
        self.unreadable = !self.errors.is_empty();
    }

    fn row(&mut self, record: &StringRecord, line: u64) {
        if record.len() > self.columns.len() {
            let message = format!("has {} cells for {} columns", record.len(), self.columns.len());
            return self.wrong(format!("/lines/{line}"), "too-many-cells", message);
        }
        let columns = self.columns.clone();
        let cells: Vec<(Column, &str)> = columns.into_iter().zip(record).collect();
        if let Some((_, name)) =
            cells.iter().find(|(column, cell)| *column == Column::Operation && !cell.is_empty())
        {
            self.same_operation(name, line);
        }
        let iccid = cells.iter().find(|(column, _)| *column == Column::Iccid).map_or("", |(_, cell)| *cell);
        let iccid = match Iccid::parse(iccid) {
            Ok(iccid) => iccid,
            Err(error) => {
                let pointer = Origin::File.pointer(line, "iccid");
                return self.wrong(pointer, error.code(), error.to_string());
            }
        };
        let Some(operation) = self.operation else {
            if self.errors.is_empty() {
                let message = "is required: as a query parameter, or as a column of the file";
                self.wrong("?operation".to_owned(), "required", message);
            }
            return;
        };
        if let Some(request) = self.request(operation, &cells, line) {
            self.rows.push(AskedRow { at: line, iccid, request });
        }
    }

    /// One job has one operation.
    fn same_operation(&mut self, name: &str, line: u64) {
        let pointer = Origin::File.pointer(line, "operation");
        match (LineJobOperation::named(name), self.operation) {
            (None, _) => self.wrong(pointer, "unknown", "is no operation on lines"),
            (Some(named), None) => self.operation = Some(named),
            (Some(named), Some(operation)) if named != operation => {
                let message = format!("is {named}, but the job tells its lines to {operation}");
                self.wrong(pointer, "other-operation", message);
            }
            (Some(_), Some(_)) => {}
        }
    }

    /// Which request a line is; a new one when no line before was told the same.
    fn request(&mut self, operation: LineJobOperation, cells: &[(Column, &str)], line: u64) -> Option<usize> {
        let own: Vec<(&'static str, &str)> = cells
            .iter()
            .filter_map(|(column, cell)| match column {
                Column::Field(name) => Some((*name, *cell)),
                Column::Iccid | Column::Operation => None,
            })
            .collect();
        let key: Vec<String> = own.iter().map(|(_, cell)| (*cell).to_owned()).collect();
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let request = match self.read(operation, &own) {
            Ok(request) => {
                self.requests.push(request);
                self.requests.len().checked_sub(1)
            }
            Err(errors) => {
                for ProblemField { pointer, code, message } in errors {
                    let name = pointer.trim_start_matches("/setup").trim_start_matches('/');
                    let in_line = own.iter().any(|(own, cell)| *own == name && !cell.is_empty());
                    let pointer = if in_line || !(own.is_empty() || self.has_field(name)) {
                        Origin::File.pointer(line, name)
                    } else {
                        format!("?{name}")
                    };
                    if self.errors.len() < SHOWN {
                        self.errors.push(ProblemField { pointer, code, message });
                    }
                }
                None
            }
        };
        self.known.insert(key, request);
        request
    }

    fn has_field(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| *field == name)
    }

    /// What a line is told, by its own cells and by the query where those are empty.
    fn read(
        &self,
        operation: LineJobOperation,
        own: &[(&'static str, &str)],
    ) -> Result<LineRequest, Vec<ProblemField>> {
        let mut body = Map::new();
        let of_query = self.fields.iter().map(|(name, text)| (*name, text.as_str()));
        for (name, text) in of_query.chain(own.iter().copied().filter(|(_, cell)| !cell.is_empty())) {
            let value = if name == "options" { options(text)? } else { Json::from(text) };
            body.insert(name.to_owned(), value);
        }
        let body = if operation == LineJobOperation::TestMode && !body.is_empty() {
            json!({ "setup": body })
        } else {
            Json::Object(body)
        };
        told(operation, &body).map(|told| told.request).map_err(|problem| problem.errors().to_vec())
    }

    fn finish(self, query: &LineJobQuery) -> Result<Asked, Problem> {
        if !self.errors.is_empty() {
            return Err(Problem::invalid(self.errors));
        }
        let Some(operation) = self.operation else {
            let message = "is required: as a query parameter, or as a column of the file";
            return Err(Problem::invalid_field("?operation", "required", message));
        };
        let job = JobRequest {
            operation,
            origin: Origin::File,
            requests: self.requests,
            rows: self.rows,
            confirmed: query.confirm,
        };
        Ok(Asked { job, dry_run: query.dry_run })
    }
}

/// `NAME=value|NAME=value`.
fn options(text: &str) -> Result<Json, Vec<ProblemField>> {
    let option = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        (!name.is_empty() && !value.is_empty()).then(|| json!({ "name": name, "value": value }))
    };
    text.split('|').map(option).collect::<Option<Vec<Json>>>().map(Json::from).ok_or_else(|| {
        let message = "must be NAME=value, several of them with | in between".to_owned();
        vec![ProblemField { pointer: "/options".to_owned(), code: "format".into(), message }]
    })
}

#[cfg(test)]
mod tests {
    use simdepot_domain::line::LineCommand;

    use super::*;
    use crate::dto::line_job::LineJobOperation as Operation;

    const ONE: &str = "8988247000000210014";
    const TWO: &str = "8988247000000210022";

    fn told_to(operation: Operation) -> LineJobQuery {
        LineJobQuery { operation: Some(operation), ..LineJobQuery::default() }
    }

    fn wrong(file: &str, query: LineJobQuery) -> Vec<(String, String)> {
        let problem = of_file(file.as_bytes(), query).map(|_| ()).unwrap_err();
        problem.errors().iter().map(|error| (error.pointer.clone(), error.code.to_string())).collect()
    }

    #[test]
    fn a_plain_list_and_a_table_are_read() {
        for file in [
            format!("{ONE}\n{TWO}\n"),
            format!("\u{feff}Sim_Serial\r\n{ONE}\r\n\r\n\"{TWO}\"\r\n"),
            format!("group;SIMSERIAL\n;{ONE}\n ; {TWO}\n"),
        ] {
            let asked =
                of_file(file.as_bytes(), told_to(Operation::Suspend)).map_err(|p| p.to_string()).unwrap();
            let iccids: Vec<&str> = asked.job.rows.iter().map(|row| row.iccid.as_str()).collect();
            assert_eq!(iccids, [ONE, TWO], "{file}");
            assert_eq!(asked.job.requests.len(), 1);
            assert_eq!(asked.job.requests[0].command, LineCommand::Suspend);
        }
    }

    #[test]
    fn columns_say_more_than_the_query() {
        let file = format!("operation;iccid;group;options\nmodify;{ONE};a;X=on|Y=off\nMODIFY;{TWO};;\n");
        let query = LineJobQuery { group: Some("b".to_owned()), ..LineJobQuery::default() };
        let asked = of_file(file.as_bytes(), query).map_err(|p| p.to_string()).unwrap();
        assert_eq!(asked.job.operation, LineJobOperation::Modify);
        let setups: Vec<_> =
            asked.job.requests.iter().map(|request| request.command.setup().unwrap().clone()).collect();
        assert_eq!(
            setups.iter().map(|setup| setup.group.as_deref()).collect::<Vec<_>>(),
            [Some("a"), Some("b")]
        );
        assert_eq!((setups[0].options.len(), setups[1].options.len()), (2, 0));
        assert_eq!(setups[0].options[1].value, "off");
        let rows: Vec<_> = asked.job.rows.iter().map(|row| (row.at, row.request)).collect();
        assert_eq!(rows, [(2, 0), (3, 1)]);
        let query = LineJobQuery { group: Some("b".to_owned()), ..told_to(Operation::TestMode) };
        let asked = of_file(ONE.as_bytes(), query).map_err(|p| p.to_string()).unwrap();
        assert_eq!(asked.job.requests[0].command.setup().unwrap().group.as_deref(), Some("b"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let at = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        let suspend = || told_to(Operation::Suspend);
        for (file, query, expected) in [
            ("iccid,colour\n1,red\n".to_owned(), suspend(), vec![at("/lines/1", "unknown-column")]),
            ("group\na\n".to_owned(), suspend(), vec![at("/lines/1", "missing-column")]),
            ("iccid,iccid\n".to_owned(), suspend(), vec![at("/lines/1", "duplicate-column")]),
            (format!("{ONE}\n12\n"), suspend(), vec![at("/lines/2/iccid", "wrong-length")]),
            (format!("{ONE},x\n"), suspend(), vec![at("/lines/1", "too-many-cells")]),
            (ONE.to_owned(), LineJobQuery::default(), vec![at("?operation", "required")]),
            (String::new(), LineJobQuery::default(), vec![at("?operation", "required")]),
            (
                format!("iccid,operation\n{ONE},suspend\n{TWO},activate\n"),
                LineJobQuery::default(),
                vec![at("/lines/3/operation", "other-operation")],
            ),
            (
                format!("iccid,operation\n{ONE},explode\n"),
                suspend(),
                vec![at("/lines/2/operation", "unknown")],
            ),
            (
                format!("iccid,options\n{ONE},X\n"),
                told_to(Operation::Modify),
                vec![at("/lines/2/options", "format")],
            ),
            (format!("iccid,group\n{ONE},a\n"), suspend(), vec![at("/lines/2/group", "unknown-field")]),
            (
                format!("iccid,new_iccid\n{ONE},\n"),
                told_to(Operation::SwapSim),
                vec![at("/lines/2/new_iccid", "required")],
            ),
            (
                ONE.to_owned(),
                LineJobQuery {
                    country_of_residence: Some("France".to_owned()),
                    ..told_to(Operation::Activate)
                },
                vec![at("?country_of_residence", "format")],
            ),
        ] {
            let found: Vec<_> = wrong(&file, query).into_iter().take(1).collect();
            assert_eq!(found, expected, "{file}");
        }
        let many = "x\n".repeat(500);
        assert_eq!(wrong(&format!("iccid\n{many}"), suspend()).len(), SHOWN);
        assert!(wrong("iccid\n\u{e9}", suspend()).len() == 1);
        assert!(of_file(b"iccid\n\xff\xfe\n", suspend()).is_err());
    }
}
