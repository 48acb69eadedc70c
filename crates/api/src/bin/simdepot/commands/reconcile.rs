//! `simdepot reconcile`.

use std::time::Duration;

use anyhow::bail;
use serde_json::json;
use simdepot_application::reconciliation::{self, ReconciliationView};
use simdepot_application::{Depot, api_keys};
use simdepot_domain::channel::PoolName;
use simdepot_domain::id::ReconciliationId;
use simdepot_domain::reconciliation::ReconciliationStatus;

use crate::output::{self, Outcome};
use crate::progress::ProfileBar;
use crate::setup;

/// Pause when a server is at work on it, or time must pass before a second look.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

pub(super) async fn run(adopt_into: Option<PoolName>, as_json: bool) -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    if config.is_sandbox() {
        bail!(
            "no carrier account is configured, so there is nobody to compare with: is simdepot.toml missing here? \
             SIMDEPOT_CONFIG names it. A sandbox compares itself with its twin while it runs: POST /v1/reconciliations"
        );
    }
    let depot = setup::depot(&config).await?;
    let started = reconciliation::start(&depot, &api_keys::command_line()?, adopt_into, None).await;
    let (view, _) = started.map_err(output::explained)?;
    let bar = ProfileBar::new();
    let ended = work(&depot, view.reconciliation.id, &bar).await;
    bar.finish();
    let view = ended?;
    output::line(&if as_json { document(&view) } else { text(&view) })?;
    Ok(is_clean(&view).into())
}

/// Works on it until it ends. A live server does so as well; whoever is free takes the next piece.
async fn work(depot: &Depot, id: ReconciliationId, bar: &ProfileBar) -> anyhow::Result<ReconciliationView> {
    loop {
        let view = reconciliation::get(depot, id).await?;
        bar.show(view.reconciliation.total, &view.reconciliation.counts);
        if view.reconciliation.finished_at.is_some() {
            return Ok(view);
        }
        if !reconciliation::step(depot).await? {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Everything was read, and nothing differs.
fn is_clean(view: &ReconciliationView) -> bool {
    view.reconciliation.status == ReconciliationStatus::Completed
        && view.reconciliation.counts.unread == 0
        && view.open_drifts.is_empty()
}

fn document(view: &ReconciliationView) -> String {
    let (reconciliation, counts) = (&view.reconciliation, &view.reconciliation.counts);
    let open = view.open_drifts.iter().map(|(iccid, drift)| {
        json!({"iccid": iccid, "kind": drift.kind, "about": drift.subject, "first_seen_at": drift.first_seen_at})
    });
    json!({
        "id": reconciliation.id,
        "status": reconciliation.status,
        "total": reconciliation.total,
        "compared": counts.compared,
        "unread": counts.unread,
        "drifts": counts.drifts,
        "healed": counts.healed,
        "unknown_lines": counts.unknown_lines,
        "adopted": counts.adopted,
        "open_drifts": open.collect::<Vec<_>>(),
        "problem": reconciliation.problem,
        "created_at": reconciliation.created_at,
        "finished_at": reconciliation.finished_at,
    })
    .to_string()
}

fn text(view: &ReconciliationView) -> String {
    let (reconciliation, counts) = (&view.reconciliation, &view.reconciliation.counts);
    let mut text = String::new();
    for (iccid, drift) in &view.open_drifts {
        text.push_str(&format!("difference: {iccid} {} {}\n", drift.kind, drift.subject));
    }
    if let Some(problem) = &reconciliation.problem {
        text.push_str(&format!("{problem}\n"));
    }
    text.push_str(&format!(
        "{} ({}): {} of {} profiles compared, {} could not be read; {} differences seen, {} made right, \
         {} open; {} lines are not in the stock, {} were adopted",
        reconciliation.id,
        reconciliation.status,
        counts.compared,
        reconciliation.total,
        counts.unread,
        counts.drifts,
        counts.healed,
        view.open_drifts.len(),
        counts.unknown_lines,
        counts.adopted
    ));
    text
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use simdepot_domain::drift::{DriftKind, DriftStatus};
    use simdepot_domain::iccid::Iccid;
    use simdepot_domain::reconciliation::{Cursor, ReconciliationCounts};
    use simdepot_persistence::drifts::Drift;
    use simdepot_persistence::reconciliations::Reconciliation;
    use uuid::Uuid;

    use super::*;

    fn view(status: ReconciliationStatus, unread: u64, drifts: usize) -> ReconciliationView {
        let drift = Drift {
            id: 1,
            kind: DriftKind::UnexpectedBundle,
            subject: "880017".into(),
            status: DriftStatus::Open,
            first_seen_at: DateTime::UNIX_EPOCH,
            last_seen_at: DateTime::UNIX_EPOCH,
        };
        let iccid = Iccid::parse("8988247000000210014").unwrap();
        let reconciliation = Reconciliation {
            id: ReconciliationId(Uuid::nil()),
            status,
            total: 9,
            counts: ReconciliationCounts { compared: 9 - unread, unread, ..ReconciliationCounts::default() },
            adopt_pool_id: None,
            cursor: Cursor::START,
            problem: None,
            version: 2,
            created_at: DateTime::UNIX_EPOCH,
            finished_at: Some(DateTime::UNIX_EPOCH),
        };
        ReconciliationView { reconciliation, open_drifts: vec![(iccid, drift); drifts] }
    }

    #[test]
    fn only_what_was_read_and_agrees_is_clean() {
        assert!(is_clean(&view(ReconciliationStatus::Completed, 0, 0)));
        assert!(!is_clean(&view(ReconciliationStatus::Completed, 1, 0)));
        assert!(!is_clean(&view(ReconciliationStatus::Completed, 0, 1)));
        assert!(!is_clean(&view(ReconciliationStatus::Failed, 0, 0)));
    }

    #[test]
    fn differences_are_named() {
        let view = view(ReconciliationStatus::Completed, 1, 1);
        let shown = text(&view);
        assert!(
            shown.starts_with("difference: 8988247000000210014 unexpected_bundle 880017\nrec_"),
            "{shown}"
        );
        assert!(shown.contains("(completed): 8 of 9 profiles compared, 1 could not be read"), "{shown}");
        let parsed: serde_json::Value = serde_json::from_str(&document(&view)).unwrap();
        assert_eq!((&parsed["unread"], &parsed["open_drifts"][0]["about"]), (&1.into(), &"880017".into()));
    }
}
