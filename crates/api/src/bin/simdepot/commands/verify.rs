//! `simdepot verify`.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;
use simdepot_application::feed::{self, Checkpoint};
use simdepot_application::verify::{self, Report};

use crate::cli::VerifyArgs;
use crate::output::{self, Outcome};
use crate::progress::RowCounter;
use crate::setup;

pub(super) async fn run(args: VerifyArgs) -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    // Read before anything is compared: a file that is missing must not look like one that agrees.
    let checkpoints = kept(args.checkpoints, config.checkpoint_file.clone()).await?;
    // Beside a live server: migrating is the server's business.
    let store = setup::store(&config, false).await?;
    let depot = setup::assemble(store, simdepot_application::Accounts::new());
    let counter = RowCounter::new();
    let report = verify::run_against(&depot, &checkpoints, &|rows| counter.show(rows)).await;
    counter.finish();
    let report = report?;
    output::line(&if args.json { document(&report) } else { text(&report) })?;
    Ok(report.findings.is_empty().into())
}

/// The checkpoints of the file that the command line names, else of the configured one, which begins to exist with the
/// first checkpoint.
async fn kept(
    named: Option<PathBuf>,
    configured: Option<PathBuf>,
) -> anyhow::Result<Vec<(usize, Checkpoint)>> {
    let Some(path) = named.or_else(|| configured.filter(|path| path.exists())) else {
        return Ok(Vec::new());
    };
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || feed::read_file(&path)).await?;
    read.with_context(|| format!("the checkpoint file {shown}"))
}

fn document(report: &Report) -> String {
    let findings: Vec<&str> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    let Report { profiles, orders, batches, pools, holds, events, entries, checkpoints, .. } = report;
    json!({
        "profiles": profiles, "orders": orders, "batches": batches, "pools": pools, "holds": holds,
        "events": events, "feed": entries, "checkpoints": checkpoints, "findings": findings,
    })
    .to_string()
}

fn text(report: &Report) -> String {
    let Report { profiles, orders, batches, pools, holds, events, entries, checkpoints, findings } = report;
    let mut text = format!(
        "{profiles} profiles, {orders} orders, {batches} batches, {pools} pools and {holds} holds recomputed from \
         {events} events\n{entries} entries of the feed recomputed, {checkpoints} checkpoints compared\n"
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
        assert!(text(&report).contains("from 9 events\n9 entries of the feed"), "{}", text(&report));
        assert!(text(&report).ends_with("\nno difference"));
        report.findings.push(Finding { what: "profile 1 is held".into() });
        assert!(text(&report).ends_with("difference: profile 1 is held\n1 difference"));
        let parsed: serde_json::Value = serde_json::from_str(&document(&report)).unwrap();
        assert_eq!((&parsed["profiles"], &parsed["findings"][0]), (&3.into(), &"profile 1 is held".into()));
    }
}
