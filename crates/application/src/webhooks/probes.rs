//! How many tries at failing endpoints a process has under way: they mostly end with a time-out, and would otherwise
//! take every worker from the endpoints that answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The tries at failing endpoints that this process has under way.
#[derive(Debug, Default)]
pub struct Probes(AtomicUsize);

impl Probes {
    /// How many there are.
    pub fn under_way(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Begins one, if there are fewer than `most`.
    pub fn begin(self: &Arc<Self>, most: usize) -> Option<Probe> {
        let one_more = |count: usize| (count < most).then_some(count + 1);
        let begun = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok();
        begun.then(|| Probe(Arc::clone(self)))
    }
}

/// One try at a failing endpoint, until it is dropped.
#[derive(Debug)]
pub struct Probe(Arc<Probes>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_at_a_time() {
        let probes = Arc::new(Probes::default());
        let (first, second) = (probes.begin(2), probes.begin(2));
        assert!(first.is_some() && second.is_some() && probes.begin(2).is_none());
        drop(first);
        assert_eq!(probes.under_way(), 1);
        assert!(probes.begin(2).is_some());
        drop(second);
        assert_eq!(probes.under_way(), 0);
    }
}
