//! Bad histories of subscriptions and of commands to lines.

use super::*;
use crate::history::{AskedCommand, Judged};

const ACTIVATE: &str = "activate_subscription";

fn operation(id: &str, kind: &str, status: &str) -> Operation {
    Operation {
        id: id.to_owned(),
        iccid: "w1".to_owned(),
        status: status.to_owned(),
        explained: true,
        kind: kind.to_owned(),
        account: "wholesale".to_owned(),
        ..Operation::default()
    }
}

fn command(number: Option<&str>, iccid: &str, kind: &str) -> CarrierCommand {
    let number = number.map(str::to_owned);
    CarrierCommand { number, iccid: iccid.to_owned(), kind: kind.to_owned(), done: true }
}

fn sent(call: &'static str, number: &str, fault: Option<&'static str>) -> What {
    What::Sent { call, reference: Some(number.to_owned()), fault }
}

fn ended(number: &str, kind: &'static str) -> What {
    What::Ended { number: number.to_owned(), iccid: "w1".to_owned(), kind, done: true }
}

/// Shop-a ordered one subscription, got it, and its line was suspended.
fn sold() -> Story {
    let mut story = Story::good();
    story.history = History::default();
    story.history.push(10, asked(1, order_ask("r1")));
    story.history.push(20, sent("activate", "op1", Some("503 after")));
    story.history.push(21, sent("transaction", "op1", None));
    story.history.push(30, ended("op1", ACTIVATE));
    let mut told = order_answer(201, "o1", "fulfilled", "w1");
    if let Answer::Order { profiles, .. } = &mut told {
        profiles[0].product = None;
    }
    story.history.push(40, What::Answered { request: 1, answer: told });
    story.history.push(50, sent("status", "op2", None));
    story.history.push(51, ended("op2", "suspend"));
    let end = &mut story.end;
    end.profiles = vec![profile("w1", "allocated"), profile("w2", "available")];
    end.moves = vec![movement("w1", "available", "allocated", 20)];
    end.lines[0].product = None;
    end.allocations[0].iccid = "w1".to_owned();
    end.bundles.clear();
    let activation = Operation { order: Some("o1".to_owned()), ..operation("op1", ACTIVATE, "done") };
    end.operations = vec![activation, operation("op2", "suspend", "done")];
    end.carrier.clear();
    let sim = |iccid: &str, activated| Subscription {
        iccid: iccid.to_owned(),
        activated,
        status: (activated > 0).then(|| "suspended".to_owned()),
        device: None,
    };
    end.subscriptions = vec![sim("w1", 1), sim("w2", 0)];
    end.commands = vec![command(Some("op1"), "w1", ACTIVATE), command(Some("op2"), "w1", "suspend")];
    for number in ["op1", "op2"] {
        end.numbers.insert(number.to_owned(), [format!("body of {number}")].into());
    }
    story
}

fn rules_of(change: impl FnOnce(&mut Story)) -> Vec<&'static str> {
    let mut story = sold();
    change(&mut story);
    story.rules()
}

#[test]
fn a_sold_subscription_is_good() {
    assert_eq!(sold().rules(), Vec::<&str>::new());
    let story = sold();
    let seen = check(&story.history, &story.end).seen;
    assert_eq!((seen["subscriptions activated"], seen["commands carried out"]), (1, 1));
}

#[test]
fn activations() {
    const ACTIVATED: &str = "activated as ordered";
    const NUMBER: &str = "a command is what its number says";
    assert_eq!(rules_of(|story| story.end.subscriptions[0].activated = 2), [ACTIVATED]);
    // Fulfilled by an activation that failed, and told before it was there.
    assert_eq!(
        rules_of(|story| {
            story.end.commands[0].done = false;
            story.end.subscriptions[0].activated = 0;
            story.history.push(60, asked(2, order_ask("r1")));
        }),
        [NUMBER, ACTIVATED]
    );
    // Another order's subscription.
    assert_eq!(rules_of(|story| story.end.operations[0].order = Some("o2".to_owned())), [ACTIVATED]);
    let refused_but_done = |story: &mut Story| {
        story.end.operations[0].status = "refused".to_owned();
        (story.end.allocations[0].outcome, story.end.allocations[0].ended) =
            ("substituted".to_owned(), Some(60));
        story.end.lines[0].quantity = 0;
        story.end.moves.push(movement("w1", "allocated", "quarantined", 60));
        story.end.profiles[0].stock_status = "quarantined".to_owned();
    };
    assert!(rules_of(refused_but_done).contains(&NUMBER));
    // A carrier that late nobody can wait for; a person who had looked.
    let late = rules_of(|story| {
        refused_but_done(story);
        story.end.late.insert("op1".to_owned());
    });
    assert!(!late.contains(&NUMBER), "{late:?}");
    let judged = rules_of(|story| {
        refused_but_done(story);
        let (operation, key) = ("op1".to_owned(), "k".to_owned());
        story
            .history
            .push(60, asked(3, Ask::Resolve { operation, judged: Judged::Refused, looked: 25, key }));
    });
    assert!(!judged.contains(&NUMBER), "{judged:?}");
    let on_sale = rules_of(|story| {
        refused_but_done(story);
        story.end.moves.push(movement("w1", "quarantined", "available", 61));
        story.end.profiles[0].stock_status = "available".to_owned();
    });
    assert!(on_sale.contains(&ACTIVATED));
    let late_and_on_sale = |numbered| {
        rules_of(|story| {
            refused_but_done(story);
            story.end.late.insert("op1".to_owned());
            story.end.moves.push(movement("w1", "quarantined", "available", 61));
            (story.end.profiles[0].stock_status, story.end.profiles[0].numbered) =
                ("available".to_owned(), numbered);
        })
    };
    assert!(late_and_on_sale(true).contains(&ACTIVATED) && !late_and_on_sale(false).contains(&ACTIVATED));
}

#[test]
fn told_before_it_was_so() {
    let mut story = sold();
    story.history = History::default();
    let good = sold();
    let ended_last = |entry: &&crate::history::Entry| !matches!(entry.what, What::Ended { .. });
    for entry in good.history.entries().iter().filter(ended_last) {
        story.history.push(entry.at, entry.what.clone());
    }
    story.history.push(90, ended("op1", ACTIVATE));
    assert_eq!(story.rules(), ["what is told is true"]);
}

#[test]
fn numbers() {
    const NUMBER: &str = "a command is what its number says";
    let two_bodies = |story: &mut Story| {
        story.end.numbers.entry("op1".to_owned()).or_default().insert("another body".to_owned());
    };
    assert_eq!(rules_of(two_bodies), [NUMBER]);
    let nobody_s = |story: &mut Story| {
        story.end.numbers.insert("op9".to_owned(), ["body".to_owned()].into());
    };
    assert_eq!(rules_of(nobody_s), [NUMBER]);
    assert_eq!(
        rules_of(|story| story.end.commands[0].iccid = "w2".to_owned()),
        [NUMBER, "activated as ordered"]
    );
    let unasked = |story: &mut Story| {
        story.history.push(60, sent("status", "op2", None));
    };
    assert_eq!(rules_of(unasked), ["asked after before a repeat"]);
    let unheard = |story: &mut Story| {
        story.history.push(59, sent("transaction", "op2", Some("503 before")));
        story.history.push(60, sent("status", "op2", None));
    };
    assert_eq!(rules_of(unheard), ["asked after before a repeat"]);
    let asked_after = |story: &mut Story| {
        story.history.push(59, sent("transaction", "op2", None));
        story.history.push(60, sent("status", "op2", None));
    };
    assert_eq!(rules_of(asked_after), Vec::<&str>::new());
    let not_taken = |story: &mut Story| {
        for at in 60..63 {
            story.history.push(at, sent("status", "op3", Some("429")));
        }
        story.end.operations.push(operation("op3", "suspend", "refused"));
    };
    assert_eq!(rules_of(not_taken), Vec::<&str>::new());
}

#[test]
fn commands() {
    const ONCE: &str = "a command is done once";
    const NUMBER: &str = "a command is what its number says";
    assert_eq!(rules_of(|story| story.end.commands[1].done = false), [ONCE, NUMBER]);
    // A carrier without our numbers.
    let other = |status: &str, made: usize| {
        rules_of(|story| {
            let told = Operation { iccid: "t1".to_owned(), ..operation("op5", "suspend", status) };
            story.end.operations.push(told);
            story.end.commands.extend((0..made).map(|_| command(None, "t1", "suspend")));
        })
    };
    for (status, made) in [("done", 1), ("refused", 0), ("needs_attention", 1), ("needs_attention", 0)] {
        let rules = other(status, made);
        assert!(!rules.contains(&ONCE), "{status} {made}: {rules:?}");
    }
    for (status, made) in [("done", 0), ("done", 2), ("refused", 1), ("cancelled", 1)] {
        assert!(other(status, made).contains(&ONCE), "{status} {made}");
    }
    let late = rules_of(|story| {
        story.end.commands.push(command(None, "t1", "suspend"));
        story.end.late.insert("t1".to_owned());
    });
    assert_eq!(late, Vec::<&str>::new());
}

#[test]
fn cancelled_orders_and_keys() {
    let after = |story: &mut Story| {
        let told = order_answer(200, "o1", "cancelled", "w1");
        story.end.orders[0].status = "cancelled".to_owned();
        story.end.allocations[0].ended = Some(60);
        story.end.allocations[0].outcome = "cancelled".to_owned();
        story.end.profiles[0].stock_status = "quarantined".to_owned();
        story.end.moves.push(movement("w1", "allocated", "quarantined", 60));
        story.history.push(60, asked(2, Ask::Cancel { order: "o1".to_owned() }));
        story.history.push(61, What::Answered { request: 2, answer: told });
    };
    assert_eq!(rules_of(after), Vec::<&str>::new());
    let sends = |story: &mut Story| {
        after(story);
        story.history.push(62, sent("transaction", "op1", None));
        story.history.push(63, sent("activate", "op1", None));
    };
    assert_eq!(rules_of(sends), ["a cancelled order sends nothing"]);
    let twice = |story: &mut Story| {
        for (request, operation) in [(5, "op2"), (6, "op7")] {
            let (iccid, command) = ("w1".to_owned(), AskedCommand::Suspend);
            story.history.push(
                70,
                asked(request, Ask::Command { iccid: iccid.clone(), command, key: "k".to_owned() }),
            );
            answer(story, request, Answer::Commanded { operation: operation.to_owned(), iccid });
        }
    };
    assert_eq!(rules_of(twice), ["repeats answer the same"]);
}
