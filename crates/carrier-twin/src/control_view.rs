//! What the control API shows. Codes, PINs, PUKs and tokens are left out; only the delivery file has the first three.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::clock::TwinClock;
use crate::line::Line;
use crate::reply::{Answer, date};
use crate::request::TwinRequest;
use crate::state::Twin;
use crate::subscription::Subscription;

const PAGE: usize = 1000;

type View = Result<Answer, (u16, String)>;

impl Twin {
    pub(crate) fn state_view(&self, now: DateTime<Utc>) -> Value {
        json!({
            "mvno_ref": self.config.mvno_ref,
            "cos": self.config.cos,
            "clock": self.clock_view(now),
            "lines": self.lines.len(),
            "orders": self.orders().len(),
            "subscriptions": self.subscriptions.len(),
            "requests": self.calls(crate::CallName::Any),
            "events": self.events_forgotten + self.events().len(),
            "webhook": self.stream_view(),
            "scripts": self.scripts().len(),
            "products": self.config.products.iter().map(|product| &product.product_id).collect::<Vec<_>>(),
        })
    }

    pub(crate) fn clock_view(&self, now: DateTime<Utc>) -> Value {
        let frozen = matches!(self.clock(), TwinClock::Frozen { .. });
        json!({ "now": date(self.clock().read(now)), "frozen": frozen })
    }

    pub(crate) fn line_view(&self, line: &Line) -> Value {
        let profile = line.profile.as_ref();
        json!({
            "iccid": line.spec.iccid,
            "msisdn": line.spec.msisdn,
            "sim_status": line.sim_status,
            "esim_status": profile.map(|profile| profile.status),
            "esim_status_since": profile.map(|profile| date(profile.since)),
            "eid": profile.and_then(|profile| profile.eid.as_ref()),
            "activated_at": line.activated_at.map(date),
            "modified_at": date(line.modified_at),
            "last_seen_at": line.last_seen.as_ref().map(|(at, _)| date(*at)),
            "last_country": line.last_seen.as_ref().map(|(_, country)| country),
            "subscriptions": self.subscriptions_of(line.spec.msisdn()),
        })
    }

    pub(crate) fn line_list(&self, request: &TwinRequest) -> View {
        let limit = count(request, "limit")?.unwrap_or(PAGE);
        let after = request.query_value("after").unwrap_or_default();
        let lines: Vec<Value> = self
            .lines()
            .filter(|line| line.spec.iccid.as_str() > after.as_str())
            .take(limit)
            .map(|line| self.line_view(line))
            .collect();
        Ok(Answer::json(200, json!({ "lines": lines })))
    }

    pub(crate) fn subscription_list(&self, request: &TwinRequest) -> Answer {
        let subscriptions: Vec<&Subscription> = match request.query_value("msisdn") {
            Some(msisdn) => self.subscriptions_of(&msisdn),
            None => self.subscriptions.iter().collect(),
        };
        Answer::json(200, json!({ "subscriptions": subscriptions }))
    }

    pub(crate) fn request_list(&self, request: &TwinRequest) -> View {
        let after = count(request, "after")?.and_then(|after| u64::try_from(after).ok()).unwrap_or_default();
        let requests: Vec<_> = self.requests().iter().filter(|request| request.number > after).collect();
        Ok(Answer::json(200, json!({ "requests": requests })))
    }

    /// Events by their place in the outbox, counted from 1; each with the envelope that a webhook would get.
    pub(crate) fn event_list(&self, request: &TwinRequest) -> View {
        let after = count(request, "after")?.unwrap_or_default();
        let events: Vec<Value> = (self.events_forgotten + 1..)
            .zip(self.events())
            .skip_while(|(number, _)| *number <= after)
            .map(|(number, event)| {
                let mut view = event.envelope();
                if let Some(fields) = view.as_object_mut() {
                    fields.insert("number".to_owned(), json!(number));
                    fields.insert("deliver_at".to_owned(), json!(date(event.deliver_at)));
                }
                view
            })
            .collect();
        Ok(Answer::json(200, json!({ "events": events })))
    }

    pub(crate) fn delivery(&self, request: &TwinRequest) -> View {
        let file = self.delivery_file(count(request, "count")?);
        Ok(Answer::text("text/csv; charset=utf-8", file))
    }
}

fn count(request: &TwinRequest, name: &str) -> Result<Option<usize>, (u16, String)> {
    let Some(text) = request.query_value(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| (400, format!("{name} must be a whole number")))
}
