//! Bad histories of what people did.

use super::*;
use crate::history::Judged;

/// `i1` was replaced by `i3`, which carries the product now.
fn replaced() -> Story {
    let mut story = Story::good();
    story.history.push(61, asked(3, Ask::Replace { iccid: "i1".to_owned(), key: "k".to_owned() }));
    story.history.push(64, applied("op3", "s3", false));
    let (out, by, order) = ("i1".to_owned(), "i3".to_owned(), "o1".to_owned());
    story.end.replacements.push(Replacement { order: order.clone(), out: out.clone(), by: by.clone() });
    answer(&mut story, 3, Answer::Replaced { out, by, order });
    story.end.profiles[0].stock_status = "quarantined".to_owned();
    story.end.moves.push(movement("i1", "allocated", "quarantined", 62));
    let mut third = profile("i3", "allocated");
    third.revealed = false;
    story.end.profiles.push(third);
    story.end.moves.push(movement("i3", "available", "allocated", 62));
    (story.end.allocations[0].outcome, story.end.allocations[0].ended) = ("substituted".to_owned(), Some(62));
    let mut taken = story.end.allocations[0].clone();
    (taken.iccid, taken.outcome, taken.begun, taken.ended) =
        ("i3".to_owned(), "fulfilled".to_owned(), 62, None);
    story.end.allocations.push(taken);
    let mut bundle = story.end.bundles[0].clone();
    (bundle.id, bundle.iccid, bundle.subscription) =
        ("b3".to_owned(), "i3".to_owned(), Some("s3".to_owned()));
    story.end.bundles.push(bundle);
    let mut operation = story.end.operations[0].clone();
    (operation.id, operation.bundle, operation.iccid) =
        ("op3".to_owned(), Some("b3".to_owned()), "i3".to_owned());
    story.end.operations.push(operation);
    let plans = vec![plan("s3", "op3")];
    story.end.carrier.push(CarrierLine { iccid: "i3".to_owned(), plans, ..CarrierLine::default() });
    story
}

#[test]
fn replacements() {
    assert_eq!(replaced().rules(), Vec::<&str>::new());
    let bad = |expected: &[&str], change: &dyn Fn(&mut Story)| {
        let mut story = replaced();
        change(&mut story);
        assert_eq!(story.rules(), expected);
    };
    let rule = &["replaced is replaced"];
    bad(rule, &|story| story.end.replacements.clear());
    bad(&["acknowledged orders exist", "replaced is replaced"], &|story| {
        story.end.allocations[0].outcome = "cancelled".to_owned();
    });
    bad(rule, &|story| story.end.profiles[0].stock_status = "retired".to_owned());
    let mut story = replaced();
    story.end.profiles[0].stock_status = "retired".to_owned();
    story.end.carrier[0].deleted = true;
    assert_eq!(story.rules(), Vec::<&str>::new());
    bad(&["on sale only with proof", "replaced is replaced"], &|story| {
        story.end.profiles[0].stock_status = "available".to_owned();
    });
    bad(rule, &|story| {
        story.end.moves.push(movement("i1", "quarantined", "available", 63));
        story.end.moves.push(movement("i1", "available", "quarantined", 63));
    });
    // The same key is the same replacement.
    bad(rule, &|story| {
        story.history.push(80, asked(4, Ask::Replace { iccid: "i1".to_owned(), key: "k".to_owned() }));
        let (out, by, order) = ("i1".to_owned(), "i2".to_owned(), "o1".to_owned());
        answer(story, 4, Answer::Replaced { out, by, order });
    });
    bad(&["fulfilled is fulfilled"], &|story| {
        let mut second = story.end.bundles[1].clone();
        (second.id, second.subscription) = ("b4".to_owned(), None);
        story.end.bundles.push(second);
    });
}

#[test]
fn a_replacement_that_fails() {
    let ended = |status: &str| {
        let mut story = replaced();
        story.end.orders[0].status = status.to_owned();
        let taken = story.end.allocations.last_mut().unwrap();
        (taken.outcome, taken.ended) = ("failed".to_owned(), Some(70));
        story.rules()
    };
    let (needless, untrue) = ("attention is needed", "what is told is true");
    let waits = ended("needs_attention");
    assert!(!waits.contains(&needless) && !waits.contains(&untrue), "{waits:?}");
    // It was told to be fulfilled, and something of it was delivered.
    assert!(ended("failed").contains(&untrue));
}

fn judge(story: &mut Story, judged: Judged, status: &str) {
    let (operation, key) = ("op1".to_owned(), "k".to_owned());
    story.history.push(61, asked(3, Ask::Resolve { operation: operation.clone(), judged, looked: 55, key }));
    answer(story, 3, Answer::Resolved { operation, status: status.to_owned() });
}

#[test]
fn decisions_by_hand() {
    let rule = &["decided is decided"];
    let named = |id: &str| Judged::Done { subscription: Some(id.to_owned()) };
    let mut story = Story::good();
    judge(&mut story, named("s1"), "done");
    assert_eq!(story.rules(), Vec::<&str>::new());
    assert_eq!(check(&story.history, &story.end).seen["operations decided by hand"], 1);
    bad(rule, |story| judge(story, named("s2"), "done"));
    bad(rule, |story| judge(story, named("s1"), "unknown"));
    bad(rule, |story| judge(story, Judged::Refused, "refused"));
    let all = [
        "decided is decided",
        "every plan is accounted for",
        "fulfilled is fulfilled",
        "nothing is sent twice",
    ];
    bad(&all, |story| {
        judge(story, named("s1"), "done");
        story.end.operations.clear();
    });
    // What is called done without a name has none at first; the comparison finds it.
    bad(&["every plan is accounted for"], |story| {
        story.end.bundles[0].subscription = None;
        judge(story, Judged::Done { subscription: None }, "done");
    });
}

#[test]
fn what_took_effect_after_somebody_refused_it_must_be_told() {
    let refuse = |story: &mut Story, applied_at: i64| {
        story.history = History::default();
        story.history.push(applied_at.min(60), applied("op1", "s1", false));
        judge(story, Judged::Refused, "refused");
        if applied_at > 61 {
            story.history = History::default();
            judge(story, Judged::Refused, "refused");
            story.history.push(applied_at, applied("op1", "s1", false));
        }
        story.end.operations[0].status = "refused".to_owned();
        story.end.bundles[0].status = "refused".to_owned();
        story.end.bundles[0].subscription = None;
        story.end.orders[0].status = "failed".to_owned();
        (story.end.allocations[0].outcome, story.end.allocations[0].ended) = ("failed".to_owned(), Some(70));
        story.end.profiles[0].stock_status = "quarantined".to_owned();
    };
    bad(&["every plan is accounted for", "refused is not done"], |story| refuse(story, 30));
    bad(&["every plan is accounted for"], |story| refuse(story, 90));
    // What counts is when they looked (at 55), not when somebody took their word (at 61).
    for applied_at in [58, 90] {
        let mut story = Story::good();
        refuse(&mut story, applied_at);
        let (iccid, kind, about) = ("i1".to_owned(), "unexpected_bundle".to_owned(), "s1".to_owned());
        story.end.drifts.push(Drift { iccid, kind, about, status: "open".to_owned() });
        assert_eq!(story.rules(), Vec::<&str>::new(), "applied at {applied_at}");
    }
}
