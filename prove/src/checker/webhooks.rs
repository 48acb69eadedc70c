//! What webhook endpoints were told.

use std::collections::{BTreeMap, BTreeSet};

use super::{EndState, Endpoint, Verdict};
use crate::history::{History, What};

/// A webhook that arrived.
struct Arrival<'a> {
    url: &'a str,
    id: &'a str,
    seq: i64,
    about: &'a str,
    body: &'a str,
    genuine: bool,
    taken: bool,
}

fn arrivals(history: &History) -> impl Iterator<Item = Arrival<'_>> {
    history.entries().iter().filter_map(|entry| match &entry.what {
        What::Webhook { url, id, kind: _, seq, about, body, genuine, status } => {
            let taken = (200..300).contains(status);
            Some(Arrival { url, id, seq: *seq, about, body, genuine: *genuine, taken })
        }
        _ => None,
    })
}

fn wants(endpoint: &Endpoint, kind: &str) -> bool {
    endpoint.types.as_ref().is_none_or(|types| {
        types.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(prefix) => kind.starts_with(prefix),
            None => kind == wanted,
        })
    })
}

/// When all is calm, every endpoint that is switched on has taken every event that it wants.
pub(super) fn arrive(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "webhooks arrive";
    let mut taken: BTreeSet<(&str, &str)> = BTreeSet::new();
    let (mut all, mut unwanted) = (0, 0);
    for arrival in arrivals(history) {
        all += 1;
        if arrival.taken {
            taken.insert((arrival.url, arrival.id));
        }
        let endpoint = end.endpoints.iter().find(|endpoint| endpoint.url == arrival.url);
        let told = end.told.iter().find(|told| told.id == arrival.id);
        let is_wanted =
            endpoint.zip(told).is_some_and(|(to, told)| wants(to, &told.kind) && told.seq > to.since);
        if !is_wanted && unwanted == 0 {
            unwanted += 1;
            verdict.find(RULE, format!("{} got {}, which it does not want", arrival.url, arrival.id));
        }
    }
    for endpoint in end.endpoints.iter().filter(|endpoint| endpoint.enabled) {
        let due = end.told.iter().filter(|told| told.seq > endpoint.since && wants(endpoint, &told.kind));
        let missing: Vec<_> =
            due.filter(|told| !taken.contains(&(endpoint.url.as_str(), told.id.as_str()))).collect();
        if let Some(first) = missing.first() {
            let what = format!("{} lacks {} events, the first is {first:?}", endpoint.url, missing.len());
            verdict.find(RULE, what);
        }
    }
    verdict.see("webhooks arrived", all);
    verdict.see("webhooks taken for the first time", taken.len());
}

/// Each bears the signature of its endpoint and the time of its try.
pub(super) fn are_genuine(history: &History, verdict: &mut Verdict) {
    if let Some(forged) = arrivals(history).find(|arrival| !arrival.genuine) {
        let what = format!("{} got {} without a right signature of now", forged.url, forged.id);
        verdict.find("webhooks are genuine", what);
    }
}

/// Every try of a message has the same bytes, whoever gets it.
pub(super) fn are_the_same_each_time(history: &History, verdict: &mut Verdict) {
    let mut bodies: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for arrival in arrivals(history) {
        let first = *bodies.entry((arrival.url, arrival.id)).or_insert(arrival.body);
        if first != arrival.body {
            let what = format!("{} came to {} in two forms", arrival.id, arrival.url);
            verdict.find("a webhook is the same each time", what);
            return;
        }
    }
}

/// What is told of one profile, or of another subject, arrives in the order in which it happened; what comes again may
/// come at any time.
pub(super) fn keep_order(history: &History, verdict: &mut Verdict) {
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut last: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for arrival in arrivals(history).filter(|arrival| seen.insert((arrival.url, arrival.id))) {
        let before = last.insert((arrival.url, arrival.about), arrival.seq);
        if let Some(before) = before.filter(|before| *before > arrival.seq) {
            let what = format!(
                "{} got number {} of {} after number {before}",
                arrival.url, arrival.seq, arrival.about
            );
            verdict.find("webhooks keep their order", what);
            return;
        }
    }
}
