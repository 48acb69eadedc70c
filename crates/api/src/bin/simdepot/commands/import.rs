//! `simdepot import`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde_json::json;
use sha2::{Digest, Sha256};
use simdepot_application::imports::{self, ImportView, StartImport, StartedAs};
use simdepot_application::{AppError, FieldError, api_keys};
use simdepot_domain::channel::PoolName;
use simdepot_domain::delivery::Format;
use simdepot_domain::import::ImportStatus;

use crate::cli::ImportArgs;
use crate::output::{self, Outcome};
use crate::progress::ImportBar;
use crate::setup;

pub(super) async fn run(args: ImportArgs) -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    let path = args.file.clone();
    let sha256 = tokio::task::spawn_blocking(move || sha256(&path)).await?;
    let sha256 = sha256.with_context(|| format!("{} cannot be read", args.file.display()))?;
    let depot = setup::depot(&config).await?;
    let pool = args.pool.clone();
    let start = StartImport {
        pool: args.pool,
        format: args.format,
        dry_run: args.dry_run,
        on_error: args.on_error,
        sell_by: args.sell_by,
        file_name: file_name(&args.file),
    };
    let started = imports::start(&depot, &api_keys::command_line()?, start, &sha256, None).await;
    let (view, started_as) = started.map_err(|error| explained(error, &pool))?;
    let id = view.import.id;
    if started_as == StartedAs::Created {
        let bar = ImportBar::new();
        let ran = imports::run(&depot, id, &args.file, &|progress| bar.show(progress)).await;
        bar.finish();
        ran?;
    }
    let view = imports::get(&depot, id).await?;
    output::line(&if args.json { document(&view) } else { text(&view, started_as) })?;
    Ok((view.import.status == ImportStatus::Completed && view.import.counts.rejected == 0).into())
}

/// Pools are made through the API alone: whoever lacks one is told how.
fn explained(error: AppError, pool: &PoolName) -> anyhow::Error {
    let is_unknown = |errors: &[FieldError]| {
        errors.iter().any(|error| error.pointer == "?pool" && error.code == "unknown")
    };
    match error {
        AppError::Invalid(errors) if is_unknown(&errors) => anyhow!(
            "--pool: there is no pool {pool} in this database. Make it with POST /v1/pools and a key with the scope stock: \
             curl -d '{{\"pool\":\"{pool}\",\"carrier_account\":\"…\",\"name\":\"…\"}}' -H 'Content-Type: application/json' \
             -H 'Authorization: Bearer sd_…' http://127.0.0.1:8080/v1/pools"
        ),
        error => output::explained(error),
    }
}

fn file_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

/// SHA-256 of a file, in hex.
fn sha256(path: &PathBuf) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else {
            return Ok(hex::encode(hash.finalize()));
        };
        hash.update(chunk);
    }
}

fn document(view: &ImportView) -> String {
    let import = &view.import;
    let errors = view.errors.iter().map(|row| {
        json!({"line": row.line, "column": row.column, "code": row.code, "reason": row.reason, "iccid": row.iccid})
    });
    json!({
        "id": import.id,
        "pool": view.pool,
        "status": import.status,
        "dry_run": import.dry_run,
        "file_sha256": import.file_sha256,
        "rows": import.counts.rows,
        "accepted": import.counts.accepted,
        "rejected": import.counts.rejected,
        "duplicates": import.counts.duplicates,
        "warnings": import.counts.warnings,
        "updated": import.counts.updated,
        "unchanged": import.counts.unchanged,
        "problem": import.problem,
        "errors": errors.collect::<Vec<_>>(),
    })
    .to_string()
}

fn text(view: &ImportView, started_as: StartedAs) -> String {
    let import = &view.import;
    let counts = import.counts;
    let mut text = String::new();
    for row in &view.errors {
        let column = if row.column.is_empty() { String::new() } else { format!(", {}", row.column) };
        text.push_str(&format!("line {}{column}: {}\n", row.line, row.reason));
    }
    let shown = u64::try_from(view.errors.len()).unwrap_or(u64::MAX);
    if counts.rejected > shown {
        text.push_str(&format!("… and {} more rejected rows\n", counts.rejected - shown));
    }
    if let Some(problem) = &import.problem {
        text.push_str(&format!("{problem}\n"));
    }
    let what = match (started_as, import.dry_run) {
        (StartedAs::Created, true) => "checked, nothing imported",
        (StartedAs::Created, false) => "imported",
        (StartedAs::Repeated | StartedAs::Replayed, _) => "this file was imported before",
    };
    let what = if import.status == ImportStatus::Completed { what } else { "nothing was imported" };
    let known = match import.format {
        Format::Delivery => String::new(),
        Format::Park => format!(", {} updated, {} unchanged", counts.updated, counts.unchanged),
    };
    text.push_str(&format!(
        "{} ({}): {what}; {} rows, {} accepted, {} rejected, {} duplicates{known}, {} with a warning",
        import.id,
        import.status,
        counts.rows,
        counts.accepted,
        counts.rejected,
        counts.duplicates,
        counts.warnings
    ));
    text
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use simdepot_domain::id::ImportId;
    use simdepot_domain::import::{ImportCounts, OnError, RowResult};
    use simdepot_persistence::imports::{Import, ReportedRow};
    use uuid::Uuid;

    use super::*;

    fn view(status: ImportStatus, rejected: u64) -> ImportView {
        let row = ReportedRow {
            position: 1,
            line: 3,
            result: RowResult::Rejected,
            column: "ICCID".into(),
            code: "length".into(),
            reason: "must have 19 or 20 digits".into(),
            iccid: None,
        };
        let import = Import {
            id: ImportId(Uuid::nil()),
            batch_no: 1,
            pool_id: 1,
            format: Format::Delivery,
            on_error: OnError::All,
            dry_run: false,
            sell_by: None,
            file_name: None,
            file_sha256: "ab".into(),
            status,
            counts: ImportCounts { rows: 5, accepted: 5 - rejected, rejected, ..ImportCounts::default() },
            problem: None,
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
            finished_at: None,
        };
        let errors = if rejected > 0 { vec![row] } else { vec![] };
        ImportView { import, pool: PoolName::parse("p").unwrap(), errors }
    }

    #[test]
    fn names_rejected_rows() {
        let text = text(&view(ImportStatus::Failed, 2), StartedAs::Created);
        assert!(
            text.starts_with("line 3, ICCID: must have 19 or 20 digits\n… and 1 more rejected rows\n"),
            "{text}"
        );
        assert!(text.contains("(failed): nothing was imported; 5 rows, 3 accepted, 2 rejected"), "{text}");
        let parsed: serde_json::Value =
            serde_json::from_str(&document(&view(ImportStatus::Failed, 2))).unwrap();
        assert_eq!((&parsed["status"], &parsed["errors"][0]["line"]), (&"failed".into(), &3.into()));
    }

    #[test]
    fn tells_a_repeat() {
        let before = text(&view(ImportStatus::Completed, 0), StartedAs::Repeated);
        assert!(before.contains("this file was imported before"), "{before}");
        assert!(
            text(&view(ImportStatus::Completed, 0), StartedAs::Created).contains("(completed): imported;")
        );
    }

    #[test]
    fn hashes_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&file.path().to_path_buf()).unwrap(), known);
        assert!(sha256(&PathBuf::from("/nowhere")).is_err());
    }
}
