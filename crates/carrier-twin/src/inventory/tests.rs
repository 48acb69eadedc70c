use chrono::TimeDelta;
use simdepot_domain::sim::SimStatus;

use super::*;
use crate::LineSpec;
use crate::assumptions::{ExhaustedPlan, PlanStart};
use crate::testing::{ALBANIA, Bench, at};

fn url(line: &LineSpec, rest: &str) -> String {
    format!("/ocs/inventory/api/subscriptions/products?msisdn={}{rest}", line.msisdn())
}

fn statuses(bench: &mut Bench, line: &LineSpec, rest: &str) -> Vec<String> {
    let body = bench.get_ok(&url(line, rest));
    let plans = body["productSubscriptions"].as_array().unwrap();
    plans.iter().map(|plan| plan["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a4_a_plan_waits_six_months_starts_at_the_attach_and_runs_its_validity() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.order(&line, "preload");
    let waiting = bench.get_ok(&url(&line, "&withBalances=true"))["productSubscriptions"][0].clone();
    assert_eq!((&waiting["status"], &waiting["balances"]), (&json!("pendingForFirstUse"), &json!({})));
    assert_eq!(waiting["expirationDate"], "2026-09-01T12:00:00.000Z");
    assert!(waiting.get("activationDate").is_none());

    bench.install(&line.iccid);
    assert!(bench.twin.attach(&line.iccid, "FR", at(1)).unwrap().subscription_started.is_none());
    bench.twin.attach(&line.iccid, "AL", at(2)).unwrap();
    let active = bench.get_ok(&url(&line, "&withBalances=true"))["productSubscriptions"][0].clone();
    assert_eq!(
        (&active["status"], &active["activationDate"]),
        (&json!("active"), &json!("2026-03-01T12:02:00.000Z"))
    );
    assert_eq!(active["expirationDate"], "2026-03-08T12:02:00.000Z");
    assert_eq!(active["balances"]["data"][0]["resourceValue"], 1_048_576);

    assert_eq!(bench.order(&line, "subscribe").status(), Some(201));
    assert_eq!(statuses(&mut bench, &line, ""), ["active", "readyForUse"]);
}

#[test]
fn a4_an_unused_plan_lapses_and_a_plan_may_start_with_its_order() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.order(&line, "preload");
    bench.twin.clock_mut().advance(TimeDelta::days(190));
    bench.token();
    assert_eq!(statuses(&mut bench, &line, "&statuses=terminated"), ["terminated"]);
    assert_eq!(bench.twin.events().last().unwrap().event_type, "OCS/PRODUCT/EXPIRED");

    let line = bench.line();
    bench.twin.assumptions_mut().plan_start = PlanStart::Order;
    bench.twin.assumptions_mut().deferred_period_months = 1;
    bench.twin.set_line_status(&line.iccid, SimStatus::Active, at(0)).unwrap();
    bench.order(&line, "subscribe");
    assert_eq!(statuses(&mut bench, &line, ""), ["active"]);
}

/// Two plans of one country, the first used up; answers their statuses after another attach.
fn after_exhaustion(turned: ExhaustedPlan) -> Vec<String> {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.twin.assumptions_mut().exhausted_plan = turned;
    bench.order(&line, "preload");
    bench.order(&line, "preload");
    bench.install(&line.iccid);
    bench.twin.attach(&line.iccid, "AL", at(1)).unwrap();
    bench.twin.consume(&line.iccid, 1 << 30, at(2)).unwrap();
    bench.twin.attach(&line.iccid, "AL", at(3)).unwrap();
    let left = bench.get_ok(&url(&line, "&withBalances=true&statuses=active&statuses=terminated"));
    assert_eq!(left["productSubscriptions"][0]["balances"]["data"][0]["resourceValue"], 0);
    statuses(&mut bench, &line, "&statuses=active&statuses=terminated&statuses=pendingForFirstUse")
}

#[test]
fn a5_what_becomes_of_a_used_up_plan_can_be_chosen() {
    assert_eq!(after_exhaustion(ExhaustedPlan::StaysActive), ["active", "pendingForFirstUse"]);
    assert_eq!(after_exhaustion(ExhaustedPlan::MakesRoom), ["active", "active"]);
    assert_eq!(after_exhaustion(ExhaustedPlan::Terminates), ["terminated", "active"]);
}

#[test]
fn a5_the_oldest_matching_plan_starts_first_unless_switched() {
    for (oldest, expected) in
        [(true, ["active", "pendingForFirstUse"]), (false, ["pendingForFirstUse", "active"])]
    {
        let mut bench = Bench::new();
        let line = bench.line();
        bench.twin.assumptions_mut().oldest_plan_first = oldest;
        bench.order(&line, "preload");
        bench.order(&line, "preload");
        bench.install(&line.iccid);
        bench.twin.attach(&line.iccid, "AL", at(1)).unwrap();
        assert_eq!(statuses(&mut bench, &line, ""), expected);
    }
}

#[test]
fn a6_filters_and_their_switches() {
    let mut bench = Bench::new();
    let line = bench.line();
    assert!(statuses(&mut bench, &line, "").is_empty());
    bench.order(&line, "preload");
    bench.install(&line.iccid);
    bench.twin.attach(&line.iccid, "AL", at(1)).unwrap();
    bench.twin.clock_mut().advance(TimeDelta::days(8));
    bench.token();
    assert!(statuses(&mut bench, &line, "").is_empty());
    bench.twin.assumptions_mut().inventory_default_shows_terminated = true;
    assert_eq!(statuses(&mut bench, &line, ""), ["terminated"]);
    assert!(statuses(&mut bench, &line, "&statuses=active").is_empty());
    bench.get_refused(&url(&line, "&statuses=active,terminated"), 400, "BAD_REQUEST");
    bench.get_refused(&url(&line, "&statuses=gone"), 400, "BAD_REQUEST");
    bench.twin.assumptions_mut().inventory_refuses_commas = false;
    assert_eq!(statuses(&mut bench, &line, "&statuses=active,terminated"), ["terminated"]);
    bench.twin.assumptions_mut().inventory_filters_statuses = false;
    assert_eq!(statuses(&mut bench, &line, "&statuses=active"), ["terminated"]);
}

#[test]
fn a6_an_unknown_msisdn_is_404_or_empty_and_a_plus_is_bad() {
    let mut bench = Bench::new();
    let unknown = "/ocs/inventory/api/subscriptions/products?msisdn=33612345678";
    bench.get_refused(unknown, 404, "SUBSCRIBER_NOT_FOUND");
    bench.twin.assumptions_mut().inventory_unknown_msisdn_is_404 = false;
    assert_eq!(bench.get_ok(unknown)["productSubscriptions"], json!([]));
    bench.get_refused("/ocs/inventory/api/subscriptions/products?msisdn=%2B33612345678", 400, "BAD_REQUEST");
    bench.get_refused("/ocs/inventory/api/subscriptions/products", 400, "BAD_REQUEST");
}

#[test]
fn one_plan_is_found_by_its_id() {
    let mut bench = Bench::new();
    let line = bench.line();
    let id = bench.order(&line, "preload").json().unwrap()["subscriptionId"].as_str().unwrap().to_owned();
    bench.order(&line, "preload");
    let single = bench.get_ok(&format!("/ocs/inventory/api/subscriptions/products/{id}"));
    assert_eq!(single["productSubscriptions"][0]["productDefinition"]["productId"], ALBANIA);
    assert_eq!(statuses(&mut bench, &line, &format!("&subscriptionId={id}")).len(), 1);
    bench.get_refused("/ocs/inventory/api/subscriptions/products/none", 404, "SUBSCRIPTION_NOT_FOUND");
}

#[test]
fn a_recurring_plan_renews_at_its_dates_and_an_unlimited_one_never_runs_out() {
    let mut bench = Bench::new();
    let line = bench.line();
    bench.order_of(&line, "preload", "WW_901O_RECURRING_EUROPE_5GB_1M");
    bench.order_of(&line, "preload", "WW_901O_STACK_ONEOFF_JAPAN_UNLIMITED_7D_FUP20");
    bench.install(&line.iccid);
    bench.twin.attach(&line.iccid, "FR", at(0)).unwrap();
    bench.twin.consume(&line.iccid, 1 << 30, at(1)).unwrap();
    bench.twin.attach(&line.iccid, "JP", at(2)).unwrap();
    assert_eq!(bench.twin.consume(&line.iccid, 1 << 50, at(3)).unwrap().refused_kb, 0);
    let balances = bench.get_ok(&url(&line, "&withBalances=true"));
    assert_eq!(balances["productSubscriptions"][1]["balances"]["data"][0]["resourceValue"], -1);

    bench.twin.clock_mut().advance(TimeDelta::days(70));
    bench.token();
    let plans = bench.get_ok(&url(&line, "&withBalances=true"))["productSubscriptions"].clone();
    assert_eq!(
        (plans.as_array().unwrap().len(), &plans[0]["expirationDate"]),
        (1, &json!("2026-06-01T12:00:00.000Z"))
    );
    assert_eq!(plans[0]["balances"]["data"][0]["resourceValue"], 5 * 1_048_576);
    let renewals =
        bench.twin.events().iter().filter(|event| event.event_type == "OCS/PRODUCT/RENEWED").count();
    assert_eq!(renewals, 2);
}
