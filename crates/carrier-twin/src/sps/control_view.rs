//! What the control API shows. Activation codes and tokens are left out; only the delivery file has the codes.

use std::ops::Bound;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::sims::Sim;
use super::state::SpsTwin;
use super::subscriptions::SpsSubscription;
use super::transactions::SpsTransaction;
use crate::control::{Control, no_such_call};
use crate::control_view::{CSV, PAGE, clock_view, count, requests_view};
use crate::reply::{Answer, date};
use crate::request::TwinRequest;
use crate::scripts::CallName;

impl SpsTwin {
    pub(super) fn show(&self, now: DateTime<Utc>, request: &TwinRequest, segments: &[&str]) -> Control {
        let found = |value: Value| Ok(Answer::json(200, value));
        match segments {
            ["state"] => found(self.state_view(now)),
            ["lines"] => self.line_list(request),
            ["lines", iccid] => {
                let sim = self.sim(iccid).ok_or_else(|| (404, format!("no SIM has ICCID {iccid}")))?;
                found(self.sim_view(sim))
            }
            ["subscriptions"] => {
                let subscriptions: Vec<&SpsSubscription> = match request.query_value("subscriber_id") {
                    Some(id) => self.subscriptions_of(&id).collect(),
                    None => self.subscriptions().iter().collect(),
                };
                found(json!({ "subscriptions": subscriptions }))
            }
            ["transactions"] => {
                let transactions: Vec<&SpsTransaction> = match request.query_value("iccid") {
                    Some(iccid) => self.transactions_of(&iccid).collect(),
                    None => self.transactions().iter().collect(),
                };
                found(json!({ "transactions": transactions }))
            }
            ["transactions", id] => {
                let unknown = || (404, format!("no transaction has the id {id}"));
                found(json!(self.transaction(id).ok_or_else(unknown)?))
            }
            ["writes"] => found(json!({ "writes": self.writes(request) })),
            ["effects"] => found(json!({ "effects": self.all_effects() })),
            ["reservations"] => found(json!({ "reservations": self.reservations })),
            ["devices"] => found(json!({ "devices": self.devices })),
            ["blocklist"] => found(json!({ "devices": self.block_list })),
            ["requests"] => requests_view(self.requests(), request),
            ["events"] => self.event_list(request),
            ["webhook"] => found(self.stream.view()),
            ["scripts"] => found(json!({ "scripts": self.scripts() })),
            ["assumptions"] => found(json!(self.assumptions)),
            ["delivery.csv"] => Ok(Answer::text(CSV, self.delivery_file(count(request, "count")?))),
            _ => Err(no_such_call(request)),
        }
    }

    fn state_view(&self, now: DateTime<Utc>) -> Value {
        json!({
            "wholesale_customer_id": self.config.wholesale_customer_id,
            "clock": clock_view(self.clock, now),
            "lines": self.sims.len(),
            "subscriptions": self.subscriptions.len(),
            "transactions": self.transactions().len(),
            "requests": self.calls(CallName::Any),
            "calls": self.log.counts(),
            "events": self.events_forgotten + self.events().len(),
            "webhook": self.stream.view(),
            "scripts": self.scripts().len(),
        })
    }

    pub(super) fn sim_view(&self, sim: &Sim) -> Value {
        let iccid = sim.spec.iccid.as_str();
        json!({
            "iccid": iccid,
            "physical": sim.spec.physical,
            "eid": sim.eid,
            "state": sim.state,
            "subscription": self.subscription_of_iccid(iccid),
            "transactions": self.transactions_of(iccid).collect::<Vec<_>>(),
            "effects": self.all_effects().get(iccid),
        })
    }

    fn line_list(&self, request: &TwinRequest) -> Control {
        let limit = count(request, "limit")?.unwrap_or(PAGE);
        let after = request.query_value("after").unwrap_or_default();
        let sims = self.sims.range((Bound::Excluded(after), Bound::Unbounded)).take(limit);
        let lines: Vec<Value> = sims.map(|(_, sim)| self.sim_view(sim)).collect();
        Ok(Answer::json(200, json!({ "lines": lines })))
    }

    fn writes(&self, request: &TwinRequest) -> Value {
        match request.query_value("id") {
            Some(id) => json!(self.received_as(&id).collect::<Vec<_>>()),
            None => json!(self.received()),
        }
    }

    /// Notifications by their place in the outbox, counted from 1.
    fn event_list(&self, request: &TwinRequest) -> Control {
        let after = count(request, "after")?.unwrap_or_default();
        let events: Vec<Value> = (self.events_forgotten + 1..)
            .zip(self.events())
            .skip_while(|(number, _)| *number <= after)
            .map(|(number, event)| {
                let mut view = event.body.clone();
                if let Some(fields) = view.as_object_mut() {
                    fields.remove("eSim");
                    fields.insert("number".to_owned(), json!(number));
                    fields.insert("deliver_at".to_owned(), json!(event.deliver_at.map(date)));
                }
                view
            })
            .collect();
        Ok(Answer::json(200, json!({ "events": events })))
    }
}
