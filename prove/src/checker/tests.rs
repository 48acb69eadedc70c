//! A good history, and a bad one for every rule.

use super::*;
use crate::history::{Answer, Ask, AskedLine, ShownProfile, What};

mod lines;
mod people;
mod webhooks;

const PRODUCT: &str = "P";

/// A run in which shop-a ordered one profile with a product, got it, and read it again.
struct Story {
    history: History,
    end: EndState,
}

fn asked(request: u32, ask: Ask) -> What {
    What::Asked { request, channel: "shop-a".to_owned(), process: 0, ask }
}

fn order_ask(reference: &str) -> Ask {
    let (pool, product) = ("world".to_owned(), Some(PRODUCT.to_owned()));
    let line = AskedLine { pool, product, quantity: 1, parameters: None };
    Ask::Order {
        reference: reference.to_owned(),
        lines: vec![line],
        key: Some(format!("key-{reference}")),
        hold: None,
    }
}

fn order_answer(http: u16, id: &str, status: &str, iccid: &str) -> Answer {
    let profile = ShownProfile {
        iccid: iccid.to_owned(),
        outcome: status.to_owned(),
        product: Some(PRODUCT.to_owned()),
        code: (status == "fulfilled").then_some(true),
    };
    Answer::Order {
        http,
        id: id.to_owned(),
        reference: "r1".to_owned(),
        status: status.to_owned(),
        profiles: vec![profile],
    }
}

fn applied(reference: &str, subscription: &str, late: bool) -> What {
    What::Applied {
        iccid: "i1".to_owned(),
        product: PRODUCT.to_owned(),
        reference: reference.to_owned(),
        subscription: subscription.to_owned(),
        late,
    }
}

fn plan(subscription: &str, reference: &str) -> CarrierPlan {
    CarrierPlan {
        subscription: subscription.to_owned(),
        product: PRODUCT.to_owned(),
        reference: reference.to_owned(),
        over: false,
    }
}

fn profile(iccid: &str, status: &str) -> Profile {
    Profile {
        iccid: iccid.to_owned(),
        pool: "world".to_owned(),
        stock_status: status.to_owned(),
        imported_as: "available".to_owned(),
        hold: None,
        revealed: status == "allocated",
        numbered: false,
    }
}

fn movement(iccid: &str, from: &str, to: &str, at: i64) -> Move {
    let order = (to == "allocated").then(|| "o1".to_owned());
    Move { iccid: iccid.to_owned(), from: from.to_owned(), to: to.to_owned(), order, at }
}

impl Story {
    fn good() -> Self {
        let mut history = History::default();
        history.push(10, asked(1, order_ask("r1")));
        history.push(30, applied("op1", "s1", false));
        history.push(40, What::Answered { request: 1, answer: order_answer(201, "o1", "fulfilled", "i1") });
        history.push(50, asked(2, order_ask("r1")));
        history.push(60, What::Answered { request: 2, answer: order_answer(200, "o1", "fulfilled", "i1") });
        let end = EndState {
            watched: true,
            pools: vec![Pool { pool: "world".to_owned(), safety_buffer: 0 }],
            profiles: vec![profile("i1", "allocated"), profile("i2", "available")],
            moves: vec![movement("i1", "available", "allocated", 20)],
            orders: vec![Order {
                id: "o1".to_owned(),
                channel: "shop-a".to_owned(),
                reference: "r1".to_owned(),
                status: "fulfilled".to_owned(),
                cancelling: false,
            }],
            lines: vec![Line {
                order: "o1".to_owned(),
                line: 0,
                pool: "world".to_owned(),
                product: Some(PRODUCT.to_owned()),
                quantity: 1,
            }],
            allocations: vec![Allocation {
                order: "o1".to_owned(),
                iccid: "i1".to_owned(),
                line: 0,
                outcome: "fulfilled".to_owned(),
                begun: 20,
                ended: None,
            }],
            bundles: vec![Bundle {
                id: "b1".to_owned(),
                order: Some("o1".to_owned()),
                iccid: "i1".to_owned(),
                product: PRODUCT.to_owned(),
                status: "preloaded".to_owned(),
                subscription: Some("s1".to_owned()),
            }],
            operations: vec![Operation {
                id: "op1".to_owned(),
                order: Some("o1".to_owned()),
                bundle: Some("b1".to_owned()),
                iccid: "i1".to_owned(),
                status: "done".to_owned(),
                explained: true,
                kind: "place_bundle".to_owned(),
                ..Operation::default()
            }],
            feed: vec![1, 2, 3],
            events: 3,
            carrier: vec![
                CarrierLine {
                    iccid: "i1".to_owned(),
                    plans: vec![plan("s1", "op1")],
                    ..CarrierLine::default()
                },
                CarrierLine { iccid: "i2".to_owned(), ..CarrierLine::default() },
            ],
            ..EndState::default()
        };
        Self { history, end }
    }

    fn rules(&self) -> Vec<&'static str> {
        let mut rules: Vec<_> =
            check(&self.history, &self.end).violations.into_iter().map(|found| found.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

/// Makes a good story bad and demands that exactly these rules notice.
fn bad(expected: &[&str], change: impl FnOnce(&mut Story)) {
    let mut story = Story::good();
    change(&mut story);
    assert_eq!(story.rules(), expected);
}

fn answer(story: &mut Story, request: u32, answer: Answer) {
    story.history.push(70 + i64::from(request), What::Answered { request, answer });
}

#[test]
fn a_good_history_is_good() {
    let story = Story::good();
    assert_eq!(story.rules(), Vec::<&str>::new());
    let verdict = check(&story.history, &story.end);
    assert_eq!((verdict.seen["orders fulfilled"], verdict.seen["plans made"]), (1, 1));
}

/// The profile was in o0 before: the moves there and back, and the allocation that ended.
fn with_an_order_before(story: &mut Story, iccid: &str) {
    let mut before = story.end.allocations[0].clone();
    (before.order, before.iccid, before.begun, before.ended, before.outcome) =
        ("o0".to_owned(), iccid.to_owned(), 1, Some(5), "cancelled".to_owned());
    story.end.allocations.insert(0, before);
    let mut there = movement(iccid, "available", "allocated", 1);
    there.order = Some("o0".to_owned());
    story.end.moves.splice(0..0, [there, movement(iccid, "allocated", "available", 5)]);
}

#[test]
fn a_profile_in_two_orders() {
    let rule = &["one order at a time"];
    bad(rule, |story| {
        let mut second = story.end.allocations[0].clone();
        (second.order, second.line, second.begun) = ("o2".to_owned(), 9, 25);
        story.end.allocations.push(second);
    });
    bad(rule, |story| story.end.profiles.push(profile("i3", "allocated")));
    // Both are handed out in the ledger, and the first one never gave it back.
    bad(rule, |story| {
        with_an_order_before(story, "i1");
        story.end.allocations[0].ended = None;
    });
    // What ended in time by the clock was not given back before it was handed out again.
    bad(rule, |story| {
        with_an_order_before(story, "i1");
        story.end.moves.swap(1, 2);
    });
    bad(rule, |story| {
        with_an_order_before(story, "i1");
        story.end.moves.remove(1);
    });
    // Another order than the ledger says.
    bad(rule, |story| story.end.moves[0].order = Some("o2".to_owned()));
    bad(&["acknowledged orders exist", "one order at a time"], |story| {
        story.end.allocations[0].ended = Some(30);
    });
}

#[test]
fn an_order_after_another_is_no_violation() {
    let mut story = Story::good();
    with_an_order_before(&mut story, "i1");
    assert_eq!(story.rules(), Vec::<&str>::new());
    // Not even when the clock was set back in between.
    story.end.allocations[0].ended = Some(22);
    story.end.moves[1].at = 22;
    assert_eq!(story.rules(), Vec::<&str>::new());
}

#[test]
fn codes_that_went_astray() {
    let code = |right| Answer::Code { iccid: "i1".to_owned(), right };
    bad(&["codes for one order"], |story| {
        story.history.push(61, asked(3, Ask::Code { iccid: "i1".to_owned() }));
        answer(story, 3, code(false));
    });
    bad(&["codes for one order"], |story| {
        let ask = Ask::Code { iccid: "i1".to_owned() };
        let (channel, process) = ("shop-b".to_owned(), 0);
        story.history.push(61, What::Asked { request: 3, channel, process, ask });
        answer(story, 3, code(true));
    });
    bad(&["codes for one order"], |story| story.end.profiles[0].revealed = false);
    bad(&["codes for one order"], |story| {
        with_an_order_before(story, "i1");
        let mut order = story.end.orders[0].clone();
        (order.id, order.reference, order.status) =
            ("o0".to_owned(), "r0".to_owned(), "cancelled".to_owned());
        story.end.orders.push(order);
        story.history.push(61, asked(3, Ask::Read { order: "o0".to_owned(), reveal: true }));
        let Answer::Order { http, status, mut profiles, .. } = order_answer(200, "o0", "cancelled", "i1")
        else {
            unreachable!()
        };
        profiles[0].code = Some(true);
        let (id, reference) = ("o0".to_owned(), "r0".to_owned());
        // That codes of a cancelled order are shown is another rule's business: the order had been fulfilled then.
        let fulfilled =
            Answer::Order { http, id, reference, status: status.replace("cancelled", "fulfilled"), profiles };
        story.end.lines.push(Line { order: "o0".to_owned(), quantity: 1, ..Line::default() });
        answer(story, 3, fulfilled);
    });
}

#[test]
fn out_of_stock_with_stock() {
    let empty = Answer::OutOfStock { pool: "world".to_owned(), requested: 1, available: 0 };
    bad(&["no false out-of-stock"], |story| {
        story.history.push(65, asked(3, order_ask("r3")));
        answer(story, 3, empty.clone());
    });
    // It was sold while the request was under way: then it was not free all along.
    let mut story = Story::good();
    story.history.push(65, asked(3, order_ask("r3")));
    answer(&mut story, 3, empty.clone());
    story.end.moves.push(movement("i2", "available", "quarantined", 70));
    story.end.profiles[1].stock_status = "quarantined".to_owned();
    assert_eq!(story.rules(), Vec::<&str>::new());
    // The buffer is not to be sold.
    let mut story = Story::good();
    story.history.push(65, asked(3, order_ask("r3")));
    answer(&mut story, 3, empty);
    story.end.pools[0].safety_buffer = 1;
    assert_eq!(story.rules(), Vec::<&str>::new());
}

#[test]
fn on_sale_without_proof() {
    let rule = &["on sale only with proof"];
    let sold_before = |story: &mut Story| with_an_order_before(story, "i2");
    bad(rule, |story| {
        sold_before(story);
        story.end.carrier[1].downloaded = true;
    });
    bad(&["every plan is accounted for", "on sale only with proof"], |story| {
        sold_before(story);
        story.end.carrier[1].plans.push(plan("s9", "op9"));
    });
    bad(&["codes for one order", "on sale only with proof"], |story| {
        story.history.push(61, asked(3, Ask::Code { iccid: "i2".to_owned() }));
        answer(story, 3, Answer::Code { iccid: "i2".to_owned(), right: true });
    });
}

#[test]
fn the_buffer_was_sold() {
    bad(&["the safety buffer is left"], |story| story.end.pools[0].safety_buffer = 2);
}

#[test]
fn an_order_that_is_not_there() {
    bad(
        &[
            "acknowledged orders exist",
            "codes for one order",
            "repeats answer the same",
            "what is told is true",
        ],
        |story| {
            story.history.push(61, asked(3, order_ask("r1")));
            answer(story, 3, order_answer(200, "o7", "fulfilled", "i1"));
        },
    );
    bad(&["acknowledged orders exist"], |story| {
        story.history.push(61, asked(3, Ask::Read { order: "o1".to_owned(), reveal: false }));
        let Answer::Order { http, id, status, profiles, .. } = order_answer(200, "o1", "fulfilled", "i1")
        else {
            unreachable!()
        };
        answer(story, 3, Answer::Order { http, id, reference: "r8".to_owned(), status, profiles });
    });
    bad(&["acknowledged orders exist", "what is told is true"], |story| story.end.lines[0].quantity = 2);
}

#[test]
fn a_repeat_that_made_another_order() {
    bad(&["repeats answer the same"], |story| {
        let mut order = story.end.orders[0].clone();
        (order.id, order.status) = ("o2".to_owned(), "failed".to_owned());
        story.end.orders.push(order);
        story.history.push(61, asked(3, order_ask("r1")));
        let (order, bundle, code) = (Some("o2".to_owned()), None, "x".to_owned());
        answer(story, 3, Answer::Refused { order, bundle, code });
    });
    bad(&["repeats answer the same"], |story| {
        let ask = Ask::TopUp { iccid: "i1".to_owned(), reference: "t".to_owned(), product: "P".to_owned() };
        for (request, id) in [(3, "b1"), (4, "b2")] {
            story.history.push(61, asked(request, ask.clone()));
            let (id, reference, status) = (id.to_owned(), "t".to_owned(), "ordering".to_owned());
            answer(story, request, Answer::Bundle { id, reference, status });
        }
    });
}

#[test]
fn answers_that_lie() {
    let rule = &["what is told is true"];
    bad(rule, |story| {
        story.history = History::default();
        story.history.push(10, asked(1, order_ask("r1")));
        answer(story, 1, order_answer(201, "o1", "fulfilled", "i1"));
        story.history.push(80, applied("op1", "s1", false));
    });
    bad(rule, |story| {
        story.history.push(61, asked(3, order_ask("r1")));
        answer(story, 3, order_answer(201, "o1", "in_progress", "i1"));
    });
    bad(rule, |story| {
        story.history.push(61, asked(3, Ask::Read { order: "o1".to_owned(), reveal: true }));
        answer(story, 3, order_answer(200, "o1", "failed", "i1"));
    });
}

#[test]
fn an_internal_error() {
    let rule = &["no internal errors"];
    bad(rule, |story| {
        let (code, detail) = ("internal".to_owned(), "broken".to_owned());
        answer(story, 1, Answer::Problem { code, detail, again: true });
    });
    bad(rule, |story| {
        let error = "broken".to_owned();
        story.history.push(90, What::StepFailed { process: 0, job: "operations", error, expected: false });
    });
}

#[test]
fn fulfilled_without_its_bundle() {
    bad(&["done is done", "fulfilled is fulfilled"], |story| story.end.carrier[0].plans.clear());
    bad(&["fulfilled is fulfilled"], |story| story.end.carrier[0].plans[0].product = "Q".to_owned());
    bad(&["every plan is accounted for", "fulfilled is fulfilled"], |story| {
        story.end.bundles[0].subscription = None;
    });
    bad(&["fulfilled is fulfilled"], |story| {
        let mut second = story.end.bundles[0].clone();
        (second.id, second.subscription) = ("b2".to_owned(), None);
        story.end.bundles.push(second);
    });
    bad(&["fulfilled is fulfilled"], |story| {
        story.end.lines[0].quantity = 2;
        let mut second = story.end.allocations[0].clone();
        (second.iccid, second.outcome, second.ended) = ("i2".to_owned(), "failed".to_owned(), Some(30));
        story.end.allocations.push(second);
        let there_and_back = [("available", "allocated", 20), ("allocated", "available", 30)];
        story.end.moves.extend(there_and_back.map(|(from, to, at)| movement("i2", from, to, at)));
        story.history = History::default();
    });
}

#[test]
fn sent_twice() {
    bad(&["every plan is accounted for", "fulfilled is fulfilled", "nothing is sent twice"], |story| {
        story.history.push(35, applied("op1", "s2", false));
        story.end.carrier[0].plans.push(plan("s2", "op1"));
    });
    bad(&["nothing is sent twice"], |story| story.history.push(35, applied("op8", "s1", false)));
}

#[test]
fn what_a_late_carrier_did_is_excused_when_it_was_told() {
    let late = |story: &mut Story| {
        story.history.push(65, applied("op1", "s2", true));
        story.end.carrier[0].plans.push(plan("s2", "op1"));
    };
    let tell = |story: &mut Story, status: &str| {
        story.end.drifts.push(Drift {
            iccid: "i1".to_owned(),
            kind: "unexpected_bundle".to_owned(),
            about: "s2".to_owned(),
            status: status.to_owned(),
        });
    };
    let adopt = |story: &mut Story| {
        let (id, subscription, product) = ("b2".to_owned(), Some("s2".to_owned()), PRODUCT.to_owned());
        let (iccid, status) = ("i1".to_owned(), "preloaded".to_owned());
        story.end.bundles.push(Bundle { id, order: None, iccid, product, status, subscription });
    };
    let rule = &["every plan is accounted for"];
    bad(rule, late);
    bad(rule, |story| {
        late(story);
        adopt(story);
    });
    bad(rule, |story| {
        late(story);
        adopt(story);
        // Taken into the books as if it were nothing, or not taken in.
        tell(story, "healed");
    });
    bad(rule, |story| {
        late(story);
        tell(story, "open");
    });
    let mut story = Story::good();
    late(&mut story);
    adopt(&mut story);
    tell(&mut story, "open");
    assert_eq!(story.rules(), Vec::<&str>::new());
    assert_eq!(check(&story.history, &story.end).seen["extra plans by a late carrier"], 1);
}

#[test]
fn refused_but_done() {
    bad(&["refused is not done"], |story| {
        story.end.operations[0].status = "refused".to_owned();
    });
}

#[test]
fn attention_without_need() {
    let ask_a_person = |story: &mut Story| {
        story.end.operations[0].status = "needs_attention".to_owned();
        story.end.orders[0].status = "needs_attention".to_owned();
        story.end.allocations[0].outcome = "needs_attention".to_owned();
    };
    bad(&["attention is needed"], ask_a_person);
    let mut story = Story::good();
    ask_a_person(&mut story);
    story.end.troubles.insert("op1".to_owned(), vec![("504 after", true)]);
    assert_eq!(story.rules(), Vec::<&str>::new());
    story.end.operations[0].explained = false;
    assert_eq!(story.rules(), ["attention is needed"]);
    bad(&["attention is needed"], |story| {
        story.end.orders[0].status = "needs_attention".to_owned();
    });
}

#[test]
fn left_undone() {
    bad(&["everything is decided"], |story| {
        story.history = History::default();
        story.end.operations[0].status = "unknown".to_owned();
    });
    bad(&["everything is decided"], |story| {
        story.history = History::default();
        story.end.orders[0].status = "in_progress".to_owned();
    });
}

#[test]
fn what_is_taken_back_waits_for_a_command_of_its_line() {
    let mut story = Story::good();
    story.history = History::default();
    story.end.orders[0].status = "in_progress".to_owned();
    let mut command = story.end.operations[0].clone();
    command.id = "op2".to_owned();
    command.order = None;
    command.status = "needs_attention".to_owned();
    story.end.operations.push(command);
    assert!(story.rules().contains(&"everything is decided"));
    story.end.orders[0].cancelling = true;
    assert!(!story.rules().contains(&"everything is decided"));
    story.end.operations[1].iccid = "i2".to_owned();
    assert!(story.rules().contains(&"everything is decided"));
}

#[test]
fn holds_that_leak() {
    let hold = |status: &str| Hold {
        id: "h1".to_owned(),
        order: None,
        status: status.to_owned(),
        expires_at: -100_000_000,
    };
    bad(&["no hold leaks"], |story| story.end.holds.push(hold("active")));
    bad(&["no hold leaks"], |story| {
        story.end.holds.push(hold("expired"));
        story.end.profiles[1].stock_status = "held".to_owned();
        story.end.profiles[1].hold = Some("h1".to_owned());
    });
}

#[test]
fn forged_events() {
    bad(&["events are authentic"], |story| story.end.forged_events = 1);
}

#[test]
fn feed_and_ledger() {
    bad(&["the feed is dense"], |story| story.end.feed = vec![1, 3, 4]);
    bad(&["the feed is dense"], |story| story.end.events = 4);
    bad(&["the ledger agrees"], |story| story.end.verify.push("a difference".to_owned()));
}
