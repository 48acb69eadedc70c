//! The metrics of this process, in Prometheus's text format. Every crate writes through the `metrics` facade.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of time histograms, in seconds: from a statement to a carrier that hangs.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// The recorder of this process, installed by the first call. A process has one, however many applications it runs.
pub fn handle() -> PrometheusHandle {
    HANDLE.get_or_init(install).clone()
}

fn install() -> PrometheusHandle {
    let builder = PrometheusBuilder::new();
    let recorder = match builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS) {
        Ok(builder) => builder.build_recorder(),
        Err(error) => {
            tracing::warn!(%error, "histograms without buckets");
            PrometheusBuilder::new().build_recorder()
        }
    };
    let handle = recorder.handle();
    if let Err(error) = ::metrics::set_global_recorder(recorder) {
        tracing::warn!(%error, "another recorder is installed: metrics are not written here");
    }
    handle
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Names between quotes or backticks.
    fn names(text: &str, quote: char) -> BTreeSet<String> {
        let quoted = text.split(quote).filter(|name| name.starts_with("simdepot_") && name.len() > 9);
        let names = quoted.filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        names.filter(|name| !name.starts_with("simdepot_test_")).map(str::to_owned).collect()
    }

    fn written(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                written(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.extend(names(&std::fs::read_to_string(&path).unwrap(), '"'));
            }
        }
    }

    #[test]
    fn every_metric_is_documented() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let mut found = BTreeSet::new();
        written(&root.join("crates"), &mut found);
        assert!(found.contains("simdepot_http_request_seconds"), "{found:?}");
        let document = std::fs::read_to_string(root.join("docs/OPERATIONS.md")).unwrap();
        let table = document.split("| metric | watch |").nth(1).unwrap().split("\n\n").next().unwrap();
        // A label behind the name is no part of it.
        let documented = names(&table.replace('{', "`"), '`');
        assert_eq!(documented, found);
    }

    #[test]
    fn is_installed_once_and_has_buckets() {
        let (first, second) = (handle(), handle());
        ::metrics::histogram!("simdepot_test_seconds").record(0.3);
        first.run_upkeep();
        let text = second.render();
        assert!(text.contains("simdepot_test_seconds_bucket{le=\"0.5\"} 1"), "{text}");
    }
}
