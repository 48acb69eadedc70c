//! Renders the rules as tables for `docs/LIFECYCLE.md`, so that the page cannot drift from the code.

use chrono::{DateTime, Utc};
use strum::VariantArray;

use crate::esim::EsimStatus;
use crate::line::{LineAction, LineRules, MOVES, Offer, TRANSATEL};
use crate::observation::Lifecycle;
use crate::operation::{OperationStatus, OperationStep};
use crate::sim::SimStatus;
use crate::stock::{ReturnProof, StockCommand, StockCommandKind, StockState, StockStatus, apply};

/// The page as it must stand in `docs/LIFECYCLE.md`.
pub fn page() -> String {
    format!(
        "# Lifecycles\n\n\
         Generated from `crates/domain` (`just docs`); do not edit.\n\n\
         ## Stock: status × command\n\n\
         Our own axis. A cell is the status after the command, `·` is `invalid-transition`. `return` is shown with\n\
         and without its whole proof: never revealed, never downloaded, no bundle.\n\n{}\n\
         ## Operations: status × step\n\n\
         One write to a carrier. Only `pending` can be sent.\n\n{}\n\
         ## Line: moves that carriers document\n\n\
         The carrier's axis. A move that is not marked is stored, flagged as drift and counted. The newer date wins; a\n\
         delivery file's word has none, and gives way to whatever the carrier dated itself, however long ago, and to\n\
         whatever was read since.\n\n{}\n\
         ## Line: what the statuses mean\n\n{}\n\
         A suspension says by whom (`suspended_by`): the `customer`, a usage threshold (`automatic`), or the carrier\n\
         (`operator`), whose suspension only the carrier lifts.\n\n\
         ## Line: what moves it\n\n{}\n\
         ## Line: offer, status and command\n\n\
         A cell is the status after the command, `✓` leaves the status as it is, and anything else is the rule that\n\
         forbids it: then the answer is `invalid-transition`, and the carrier is not called. Statuses from which an\n\
         account may terminate beyond these are a setting (`also_terminate`), because no document says.\n\n{}\
         ## eSIM: moves that carriers document\n\n\
         Notifications may be lost, so jumps forward are allowed.\n\n{}",
        stock_matrix(),
        operation_matrix(),
        moves(SimStatus::VARIANTS),
        line_statuses(),
        line_moves(),
        line_matrices(),
        moves(EsimStatus::VARIANTS),
    )
}

/// Every stock status against every command.
pub fn stock_matrix() -> String {
    let state = |status| StockState { status, sell_by: DateTime::<Utc>::MAX_UTC };
    let rows = StockStatus::VARIANTS.iter().map(|status| {
        let cells =
            samples().map(|(_, command)| match apply(state(*status), command, DateTime::<Utc>::MIN_UTC) {
                Ok(transition) => transition.to.to_string(),
                Err(_) => "·".to_owned(),
            });
        (status.to_string(), cells.collect())
    });
    table("status", &samples().map(|(name, _)| name).collect::<Vec<_>>(), rows)
}

/// Every operation status against every step.
pub fn operation_matrix() -> String {
    let rows = OperationStatus::VARIANTS.iter().map(|status| {
        let cells = OperationStep::VARIANTS.iter().map(|step| match status.step(*step) {
            Ok(to) => to.to_string(),
            Err(_) => "·".to_owned(),
        });
        (status.to_string(), cells.collect())
    });
    table("status", &OperationStep::VARIANTS.iter().map(ToString::to_string).collect::<Vec<_>>(), rows)
}

/// What every status of a line means.
fn line_statuses() -> String {
    let rows = SimStatus::VARIANTS.iter().map(|status| {
        let meaning = status.meaning();
        (status.to_string(), vec![meaning.network.to_owned(), meaning.billing.to_owned()])
    });
    table("status", &["network".to_owned(), "billing".to_owned()], rows)
}

/// Every documented move of a line, with its trigger.
fn line_moves() -> String {
    let rows = MOVES.iter().map(|step| {
        let offers: Vec<&str> = step.offers.iter().map(|offer| offer.title()).collect();
        let offers =
            if step.offers == TRANSATEL { "every Transatel offer".to_owned() } else { offers.join(", ") };
        (step.from.to_string(), vec![step.to.to_string(), step.trigger.to_owned(), offers])
    });
    let head = ["to", "trigger", "offers"].map(str::to_owned);
    table("from", &head, rows)
}

/// Every command against every status, by offer.
pub fn line_matrices() -> String {
    let matrix = |offer: &Offer| {
        let rules = LineRules::of(*offer);
        let rows = LineAction::VARIANTS.iter().map(|action| {
            let cells = SimStatus::VARIANTS.iter().map(|from| match rules.check(*action, *from, None) {
                Ok(Some(to)) => format!("**{to}**"),
                Ok(None) => "✓".to_owned(),
                Err(broken) => broken.rule.to_owned(),
            });
            (action.to_string(), cells.collect())
        });
        let statuses: Vec<String> = SimStatus::VARIANTS.iter().map(ToString::to_string).collect();
        format!("### {}\n\n{}\n", offer.title(), table("command \\ status", &statuses, rows))
    };
    Offer::VARIANTS.iter().map(matrix).collect()
}

fn moves<S: Lifecycle + std::fmt::Display>(all: &[S]) -> String {
    let rows = all.iter().map(|from| {
        let cells = all.iter().map(|to| if from.allows(*to) { "✓" } else { "" }.to_owned());
        (from.to_string(), cells.collect())
    });
    table("from \\ to", &all.iter().map(ToString::to_string).collect::<Vec<_>>(), rows)
}

/// One sample of every command; `return` twice.
fn samples() -> impl Iterator<Item = (String, StockCommand)> {
    let proof = |all| ReturnProof { never_revealed: all, never_downloaded: all, no_bundle: all };
    StockCommandKind::VARIANTS.iter().flat_map(move |kind| match kind {
        StockCommandKind::Hold => vec![(kind.to_string(), StockCommand::Hold)],
        StockCommandKind::ReleaseHold => vec![(kind.to_string(), StockCommand::ReleaseHold)],
        StockCommandKind::Allocate => vec![(kind.to_string(), StockCommand::Allocate)],
        StockCommandKind::Return => vec![
            ("return (proven)".to_owned(), StockCommand::Return(proof(true))),
            ("return (unproven)".to_owned(), StockCommand::Return(proof(false))),
        ],
        StockCommandKind::Substitute => vec![(kind.to_string(), StockCommand::Substitute)],
        StockCommandKind::Quarantine => vec![(kind.to_string(), StockCommand::Quarantine)],
        StockCommandKind::CompleteDelivery => vec![(kind.to_string(), StockCommand::CompleteDelivery)],
        StockCommandKind::Release => vec![(kind.to_string(), StockCommand::Release)],
        StockCommandKind::TakeOver => vec![(kind.to_string(), StockCommand::TakeOver)],
        StockCommandKind::Retire => vec![(kind.to_string(), StockCommand::Retire)],
    })
}

fn table(corner: &str, head: &[String], rows: impl Iterator<Item = (String, Vec<String>)>) -> String {
    let mut text = format!("| {corner} | {} |\n|---|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for (name, cells) in rows {
        text.push_str(&format!("| **{name}** | {} |\n", cells.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    /// `UPDATE_DOCS=1 cargo test` writes the page.
    #[test]
    fn the_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/LIFECYCLE.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, super::page()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), super::page(), "run `just docs`");
    }
}
