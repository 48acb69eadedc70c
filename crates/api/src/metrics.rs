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
    use super::*;

    #[test]
    fn is_installed_once_and_has_buckets() {
        let (first, second) = (handle(), handle());
        ::metrics::histogram!("simdepot_test_seconds").record(0.3);
        first.run_upkeep();
        let text = second.render();
        assert!(text.contains("simdepot_test_seconds_bucket{le=\"0.5\"} 1"), "{text}");
    }
}
