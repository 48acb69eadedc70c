use super::*;
use crate::testing::{Bench, at};
use crate::{Fault, Script};

#[test]
fn requests_are_recorded_with_their_fate_and_without_tokens() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.order(&line, "preload");
    bench.twin.add_script(Script::once(CallName::Inventory, Fault::DropBeforeApply));
    bench.get("/ocs/inventory/api/subscriptions/products?msisdn=33612345678");
    bench.get("/nothing");
    let seen: Vec<_> = bench.twin.requests().iter().map(|r| (r.number, r.call, r.status)).collect();
    let expected = [
        (1, Some(CallName::Token), Some(200)),
        (2, Some(CallName::Order), Some(201)),
        (3, Some(CallName::Inventory), None),
        (4, None, Some(404)),
    ];
    assert_eq!(seen, expected);
    let [_, order, inventory, _] = bench.twin.requests() else { panic!("four requests") };
    assert_eq!(order.body.as_ref().unwrap()["transactionReference"], "ref-1");
    assert_eq!(
        (inventory.query.as_str(), &inventory.fault),
        ("msisdn=33612345678", &Some(Fault::DropBeforeApply))
    );
    assert_eq!(
        (
            bench.twin.calls(CallName::Any),
            bench.twin.calls(CallName::Order),
            bench.twin.calls(CallName::Esim)
        ),
        (4, 1, 0)
    );
    let token = bench.token();
    assert!(!format!("{:?} {:?}", bench.twin, bench.twin.requests()).contains(&token));
}

#[test]
fn the_same_requests_make_the_same_twin() {
    let run = || {
        let mut bench = Bench::new();
        let line = bench.line();
        bench.install(&line.iccid);
        (bench.order(&line, "preload"), bench.twin.events().to_vec())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_reset_forgets_everything() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.order(&line, "preload");
    bench.twin.assumptions_mut().connectivity_open = true;
    bench.twin.clock_mut().freeze(at(0));
    bench.twin.reset();
    assert!(bench.twin.orders().is_empty() && bench.twin.lines().next().is_none());
    assert_eq!(
        (bench.twin.assumptions(), bench.twin.clock()),
        (&Assumptions::default(), TwinClock::default())
    );
    assert_eq!(bench.line(), line);
}
