//! What the control API shows. Codes, PINs, PUKs and tokens are left out; only the delivery file has the first three.

use std::collections::BTreeMap;
use std::ops::Bound;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::clock::TwinClock;
use crate::line::Line;
use crate::line_operation::LineOperation;
use crate::park::ReportLanguage;
use crate::reply::{Answer, date};
use crate::request::TwinRequest;
use crate::requests::{RecordedRequest, WriteCount};
use crate::scripts::CallName;
use crate::state::Twin;
use crate::subscription::Subscription;
use crate::transactions::Transaction;

/// Lines shown at once unless asked otherwise.
pub(crate) const PAGE: usize = 1000;
/// Content type of CSV files.
pub(crate) const CSV: &str = "text/csv; charset=utf-8";

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
            "transactions": self.transactions().len(),
            "groups": self.groups,
            "requests": self.calls(CallName::Any),
            "calls": self.call_counts(),
            "events": self.events_forgotten + self.events().len(),
            "webhook": self.stream_view(),
            "scripts": self.scripts().len(),
            "products": self.config.products.iter().map(|product| &product.product_id).collect::<Vec<_>>(),
        })
    }

    pub(crate) fn clock_view(&self, now: DateTime<Utc>) -> Value {
        clock_view(self.clock(), now)
    }

    pub(crate) fn line_view(&self, line: &Line) -> Value {
        let profile = line.profile.as_ref();
        json!({
            "iccid": line.spec.iccid,
            "msisdn": line.msisdn,
            "physical": profile.is_none(),
            "sim_status": line.sim_status,
            "suspended_by": line.subscriber.suspended_by,
            "rate_plan": line.subscriber.rate_plan,
            "options": line.subscriber.options,
            "group": line.subscriber.group,
            "external_reference": line.subscriber.external_reference,
            "country_of_residence": line.subscriber.country_of_residence,
            "contact": line.subscriber.contact,
            "esim_status": profile.map(|profile| profile.status),
            "esim_status_since": profile.map(|profile| date(profile.since)),
            "eid": profile.and_then(|profile| profile.eid.as_ref()),
            "activated_at": line.activated_at.map(date),
            "modified_at": date(line.modified_at),
            "last_seen_at": line.last_seen.as_ref().map(|(at, _)| date(*at)),
            "last_country": line.last_seen.as_ref().map(|(_, country)| country),
            "subscriptions": self.subscriptions_on(line.spec.iccid.as_str()),
            "transactions": self.transactions_of(line.spec.iccid.as_str()).collect::<Vec<_>>(),
            "writes": self.writes_of(line.spec.iccid.as_str()).collect::<BTreeMap<_, _>>(),
        })
    }

    pub(crate) fn line_list(&self, request: &TwinRequest) -> View {
        let limit = count(request, "limit")?.unwrap_or(PAGE);
        let after = request.query_value("after").unwrap_or_default();
        let lines = self.lines.range((Bound::Excluded(after), Bound::Unbounded)).take(limit);
        let lines: Vec<Value> = lines.map(|(_, line)| self.line_view(line)).collect();
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
        requests_view(self.requests(), request)
    }

    /// Transactions of one SIM, or all.
    pub(crate) fn transaction_list(&self, request: &TwinRequest) -> Answer {
        let transactions: Vec<&Transaction> = match request.query_value("iccid") {
            Some(iccid) => self.transactions_of(&iccid).collect(),
            None => self.transactions().iter().collect(),
        };
        Answer::json(200, json!({ "transactions": transactions }))
    }

    /// Counts of writes by line and operation.
    pub(crate) fn write_list(&self, request: &TwinRequest) -> Answer {
        let operation = request.query_value("operation");
        let view = |iccid: &str, (name, count): (LineOperation, WriteCount)| {
            let wanted = operation.as_ref().is_none_or(|wanted| json!(name) == *wanted.as_str());
            wanted.then(|| json!({ "iccid": iccid, "operation": name, "count": count }))
        };
        let writes: Vec<Value> = match request.query_value("iccid") {
            Some(iccid) => self.writes_of(&iccid).filter_map(|write| view(&iccid, write)).collect(),
            None => self
                .all_line_writes()
                .filter_map(|(iccid, operation, count)| view(iccid, (operation, count)))
                .collect(),
        };
        Answer::json(200, json!({ "writes": writes }))
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
        Ok(Answer::text(CSV, file))
    }

    pub(crate) fn park(&self, request: &TwinRequest) -> View {
        let code = request.query_value("language");
        let language = ReportLanguage::of_code(code.as_deref().unwrap_or("fr"));
        let language = language.ok_or_else(|| (400, "language must be fr or en".to_owned()))?;
        Ok(Answer::text(CSV, self.fleet_report(language)))
    }
}

/// A twin's time.
pub(crate) fn clock_view(clock: TwinClock, now: DateTime<Utc>) -> Value {
    let frozen = matches!(clock, TwinClock::Frozen { .. });
    json!({ "now": date(clock.read(now)), "frozen": frozen })
}

/// The requests that `?after=&call=&path_contains=` asks for.
pub(crate) fn requests_view(requests: &[RecordedRequest], request: &TwinRequest) -> View {
    let after = count(request, "after")?.and_then(|after| u64::try_from(after).ok()).unwrap_or_default();
    let call = request.query_value("call").map(|name| serde_json::from_value::<CallName>(json!(name)));
    let call = call.transpose().map_err(|error| (400, error.to_string()))?;
    let part = request.query_value("path_contains").unwrap_or_default();
    let wanted = |request: &&RecordedRequest| {
        request.number > after
            && (call.is_none() || call == Some(CallName::Any) || request.call == call)
            && request.path.contains(&part)
    };
    let requests: Vec<_> = requests.iter().filter(wanted).collect();
    Ok(Answer::json(200, json!({ "requests": requests })))
}

/// A number of the query.
pub(crate) fn count(request: &TwinRequest, name: &str) -> Result<Option<usize>, (u16, String)> {
    let Some(text) = request.query_value(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| (400, format!("{name} must be a whole number")))
}
