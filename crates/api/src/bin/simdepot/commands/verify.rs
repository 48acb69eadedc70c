//! `simdepot verify`.

use serde_json::json;
use simdepot_application::verify::{self, Report};

use crate::output::{self, Outcome};
use crate::progress::RowCounter;
use crate::setup;

pub(super) async fn run(as_json: bool) -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    // Beside a live server: migrating is the server's business.
    let store = setup::store(&config, false).await?;
    let depot = setup::assemble(store, simdepot_application::Accounts::new());
    let counter = RowCounter::new();
    let report = verify::run(&depot, &|rows| counter.show(rows)).await;
    counter.finish();
    let report = report?;
    output::line(&if as_json { document(&report) } else { text(&report) })?;
    Ok(report.findings.is_empty().into())
}

fn document(report: &Report) -> String {
    let findings: Vec<&str> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    let Report { profiles, orders, batches, events, .. } = report;
    json!({"profiles": profiles, "orders": orders, "batches": batches, "events": events, "findings": findings})
        .to_string()
}

fn text(report: &Report) -> String {
    let Report { profiles, orders, batches, events, findings } = report;
    let mut text = format!(
        "{profiles} profiles, {orders} orders and {batches} batches recomputed from {events} events\n"
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
        let mut report = Report { profiles: 3, orders: 1, batches: 1, events: 9, findings: vec![] };
        assert!(text(&report).ends_with("from 9 events\nno difference"));
        report.findings.push(Finding { what: "profile 1 is held".into() });
        assert!(text(&report).ends_with("difference: profile 1 is held\n1 difference"));
        let parsed: serde_json::Value = serde_json::from_str(&document(&report)).unwrap();
        assert_eq!((&parsed["profiles"], &parsed["findings"][0]), (&3.into(), &"profile 1 is held".into()));
    }
}
