//! Progress on a terminal. Elsewhere nothing is drawn.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use simdepot_application::imports::{ImportPhase, ImportProgress};
use simdepot_domain::reconciliation::ReconciliationCounts;

/// Redraws per tick when nothing else happens.
const TICK: Duration = Duration::from_millis(200);

/// The bar of an import: bytes while it is checked, rows while it is written.
pub(crate) struct ImportBar(ProgressBar);

impl ImportBar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        bar.set_style(style("{prefix:<8} [{wide_bar}] {percent:>3} %  {msg}  {eta}"));
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    pub(crate) fn show(&self, progress: ImportProgress) {
        self.0.set_prefix(match progress.phase {
            ImportPhase::Checking => "checking",
            ImportPhase::Writing => "writing",
        });
        let counts = progress.counts;
        self.0.set_message(format!("{} rows, {} rejected", counts.rows, counts.rejected));
        self.0.set_length(progress.total);
        self.0.set_position(progress.done);
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// The bar of a reconciliation: profiles.
pub(crate) struct ProfileBar(ProgressBar);

impl ProfileBar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        bar.set_style(style("comparing [{wide_bar}] {percent:>3} %  {msg}  {eta}"));
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    pub(crate) fn show(&self, total: u64, counts: &ReconciliationCounts) {
        let done = counts.compared + counts.unread;
        self.0.set_length(total.max(done));
        self.0.set_position(done);
        self.0.set_message(format!(
            "{} profiles, {} differences, {} unread",
            done, counts.drifts, counts.unread
        ));
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A counter of rows whose number is not known beforehand.
pub(crate) struct RowCounter(ProgressBar);

impl RowCounter {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(style("{spinner} {human_pos} rows checked, {per_sec}"));
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    pub(crate) fn show(&self, rows: u64) {
        self.0.set_position(rows);
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// The bar of a rotation of the encryption key.
pub(crate) struct KeyBar(ProgressBar);

impl KeyBar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        bar.set_style(style("[{wide_bar}] {human_pos} of {human_len} keys  {eta}"));
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    pub(crate) fn show(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// The templates are constants; one that cannot be read would only look plain.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use simdepot_domain::import::ImportCounts;

    use super::*;

    #[test]
    fn follows_an_import() {
        let bar = ImportBar::new();
        let counts = ImportCounts { rows: 7, rejected: 1, ..ImportCounts::default() };
        bar.show(ImportProgress { phase: ImportPhase::Writing, done: 3, total: 9, counts });
        assert_eq!(
            (bar.0.position(), bar.0.length(), bar.0.message()),
            (3, Some(9), "7 rows, 1 rejected".to_owned())
        );
        bar.finish();
        assert!(bar.0.is_finished());
    }
}
