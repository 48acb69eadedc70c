//! The first part: every row is checked and staged, duplicates are found, and the report is written.

use std::sync::Arc;

use futures_util::future::try_join;
use futures_util::stream::{self, Stream, TryStreamExt as _};
use simdepot_domain::import::ImportCounts;
use simdepot_persistence::staging::{self, Duplicate, Reported, Settled};
use simdepot_persistence::store::Session;
use tokio::sync::mpsc;

use super::prepare::{Prepared, Workshop};
use super::pulse::Pulse;
use super::run::{ImportPhase, ImportProgress, Show, blocking};
use super::source::Source;
use crate::error::AppError;

/// Lines per chunk.
const CHUNK: usize = 2_000;
/// Bytes per chunk, but for the last line. Ordinary lines do not come near it.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Chunks in work at a time, at most: they are what an import needs memory for.
const MOST_AT_WORK: usize = 8;
/// Rows of the report per transaction: others write in between.
const REPORT_CHUNK: i64 = 10_000;

/// Reads the file to its end and stages its rows; then finds what becomes of them, and writes the report.
///
/// # Errors
/// [`AppError::Invalid`] when the file cannot be read to its end, and when the store refuses.
pub(super) async fn check(
    pulse: &Pulse,
    session: &mut Session,
    workshop: Arc<Workshop>,
    source: Source,
    progress: Show<'_>,
) -> Result<Settled, AppError> {
    let total = source.total;
    session.run(staging::create).await?;
    let (sender, mut receiver) = mpsc::channel(1);
    let produce = async {
        let mut chunks = Box::pin(prepared(workshop, source));
        while let Some(chunk) = chunks.try_next().await? {
            // Nobody takes it when staging has failed: that tells why.
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
        drop(sender);
        Ok(())
    };
    let stage = async {
        while let Some(Prepared { pack, counts: of_chunk, read }) = receiver.recv().await {
            session.run(move |conn| staging::add(conn, pack)).await?;
            pulse.count(|counts| add(counts, of_chunk));
            let counts = pulse.counts();
            progress(ImportProgress { phase: ImportPhase::Checking, done: read, total, counts });
        }
        receiver.close();
        Ok::<_, AppError>(())
    };
    try_join(produce, stage).await?;
    settle(pulse, session).await
}

/// The chunks of the file, ready to be staged, in order.
fn prepared(workshop: Arc<Workshop>, source: Source) -> impl Stream<Item = Result<Prepared, AppError>> {
    let at_work = std::thread::available_parallelism().map_or(2, |cores| cores.get() + 1).min(MOST_AT_WORK);
    let read = |source: Source| async {
        let read = blocking(move || {
            let mut source = source;
            let chunk = source.chunk(CHUNK, CHUNK_BYTES);
            (chunk, source)
        });
        let (chunk, source) = read.await?;
        let done = source.bytes_read();
        Ok((!chunk.is_empty()).then_some(((chunk, done), source)))
    };
    stream::try_unfold(source, read)
        .map_ok(move |(chunk, done)| Arc::clone(&workshop).prepare(chunk, done))
        .try_buffered(at_work)
}

fn add(counts: &mut ImportCounts, more: ImportCounts) {
    counts.rows += more.rows;
    counts.accepted += more.accepted;
    counts.rejected += more.rejected;
    counts.warnings += more.warnings;
    counts.updated += more.updated;
    counts.unchanged += more.unchanged;
}

async fn settle(pulse: &Pulse, session: &mut Session) -> Result<Settled, AppError> {
    let (settled, reported) = session
        .run(|conn| {
            let settled = staging::settle(conn)?;
            let reported = staging::compose(conn, name)?;
            Ok::<_, AppError>((settled, reported))
        })
        .await?;
    pulse.count(|counts| {
        *counts = ImportCounts { rows: counts.rows, rejected: counts.rejected, ..settled.counts };
    });
    let (id, mut position) = (pulse.id, 0);
    while position < reported {
        session.write(move |conn| staging::report(conn, id, position, REPORT_CHUNK)).await?;
        position += REPORT_CHUNK;
    }
    Ok(settled)
}

/// How the report names a duplicate: column, code and reason.
pub(super) fn name(duplicate: Duplicate) -> Reported {
    match duplicate {
        Duplicate::SimInStock => ("ICCID", "in-stock", "this SIM is already in the stock"),
        Duplicate::SimRepeated => ("ICCID", "repeated", "this SIM came earlier in the file"),
        Duplicate::CodeInStock => {
            ("ActivationCode", "in-stock", "this activation code is already in the stock")
        }
        Duplicate::CodeRepeated => {
            ("ActivationCode", "repeated", "this activation code came earlier in the file")
        }
    }
}
