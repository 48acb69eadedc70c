//! `simdepot verify`.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;
use simdepot_application::feed::{self, CheckpointFile, KeptCheckpoints};
use simdepot_application::verify::{self, Report};

use crate::cli::VerifyArgs;
use crate::output::{self, Outcome};
use crate::progress::RowCounter;
use crate::setup;

pub(super) async fn run(args: VerifyArgs) -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    // Beside a live server: migrating is the server's business.
    let store = setup::store(&config, false).await?;
    let depot = setup::assemble(store, simdepot_application::Accounts::new());
    // Read before anything is compared: a later checkpoint of the ledger is not one that they lack.
    let read_at = depot.now();
    let files = kept(args.checkpoints, config.checkpoint_file.clone()).await?;
    let kept = KeptCheckpoints { files, since: args.checkpoints_since, read_at };
    let counter = RowCounter::new();
    let report = verify::run_against(&depot, &kept, &|rows| counter.show(rows)).await;
    counter.finish();
    let report = report?;
    output::line(&if args.json { document(&report) } else { text(&report) })?;
    Ok(report.findings.is_empty().into())
}

/// The files that the command line names, which must be there, else the configured one: whether that may be missing is
/// for the ledger to say.
async fn kept(named: Vec<PathBuf>, configured: Option<PathBuf>) -> anyhow::Result<Vec<CheckpointFile>> {
    let may_be_missing = named.is_empty();
    let paths = if may_be_missing { configured.into_iter().collect() } else { named };
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let name = path.display().to_string();
        let lines = match tokio::task::spawn_blocking(move || feed::read_file(&path)).await? {
            Ok(lines) => Some(lines),
            Err(error) if may_be_missing && error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("the checkpoint file {name}")),
        };
        files.push(CheckpointFile { name, lines });
    }
    Ok(files)
}

fn document(report: &Report) -> String {
    let findings: Vec<&str> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    json!({
        "profiles": report.profiles, "secrets": report.secrets, "orders": report.orders,
        "bundles": report.bundles, "operations": report.operations, "batches": report.batches,
        "pools": report.pools, "holds": report.holds, "api_keys": report.api_keys,
        "webhook_endpoints": report.endpoints, "reconciliations": report.reconciliations,
        "line_jobs": report.line_jobs,
        "rate_plans": report.rate_plans, "service_profiles": report.service_profiles,
        "subjects": report.subjects, "events": report.events, "feed": report.entries,
        "checkpoints": report.checkpoints, "findings": findings,
    })
    .to_string()
}

fn text(report: &Report) -> String {
    let Report { profiles, secrets, orders, bundles, operations, batches, pools, holds, .. } = report;
    let Report { api_keys, endpoints, reconciliations, line_jobs, subjects, events, entries, .. } = report;
    let Report { checkpoints, findings, .. } = report;
    let mut text = format!(
        "{profiles} profiles, {orders} orders, {bundles} bundles, {operations} operations, {batches} batches, {pools} \
         pools and {holds} holds recomputed from {events} events\n{api_keys} API keys, {endpoints} webhook endpoints, \
         {reconciliations} reconciliations and {line_jobs} line jobs compared with theirs\n{subjects} \
         subjects of the ledger looked for, {secrets} sealed secrets opened\n{entries} entries of the feed recomputed, {checkpoints} checkpoints compared\n"
    );
    for finding in findings {
        text.push_str(&format!("difference: {}\n", finding.what));
    }
    text.push_str(&match findings.len() {
        0 => "no difference".to_owned(),
        1 => "1 difference".to_owned(),
        several => format!("{several} differences"),
    });
    text
}

#[cfg(test)]
mod tests {
    use simdepot_application::verify::Finding;

    use super::*;

    #[test]
    fn tells_what_differs() {
        let mut report =
            Report { profiles: 3, orders: 1, batches: 1, events: 9, entries: 9, ..Report::default() };
        assert!(text(&report).contains("from 9 events\n"), "{}", text(&report));
        assert!(text(&report).contains("\n9 entries of the feed"), "{}", text(&report));
        assert!(text(&report).ends_with("\nno difference"));
        report.findings.push(Finding { what: "profile 1 is held".into() });
        assert!(text(&report).ends_with("difference: profile 1 is held\n1 difference"));
        let parsed: serde_json::Value = serde_json::from_str(&document(&report)).unwrap();
        assert_eq!((&parsed["profiles"], &parsed["findings"][0]), (&3.into(), &"profile 1 is held".into()));
    }
}
