//! What a transaction does to its line when its time has come (§10.2 A10).

use chrono::{DateTime, Utc};
use serde_json::Value;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::sim::SimStatus;

use crate::events::Origin;
use crate::line::{Line, is_msisdn};
use crate::line_operation::{LineEvent, LineOperation, SuspendedBy};
use crate::line_write::WriteBody;
use crate::options::{self, OptionSpec, Options};
use crate::schedule::{Due, later};
use crate::state::Twin;
use crate::transactions::Failure;

/// A transaction's own: what it is about and what it may say of itself in events.
pub(crate) struct Order {
    pub(crate) transaction_id: String,
    pub(crate) iccid: String,
    pub(crate) operation: LineOperation,
    pub(crate) body: WriteBody,
}

impl Twin {
    /// Changes the line, or says why not. The status is looked at again: the line may have changed since the write.
    pub(crate) fn carry_out(&mut self, at: DateTime<Utc>, place: usize) -> Result<(), Failure> {
        let Some(order) = self.order_at(place) else { return Ok(()) };
        let unknown = || Failure::new("BAD_REQUEST", "Unknown SIM");
        let line = self.lines.get(&order.iccid).ok_or_else(unknown)?;
        self.check_status(order.operation, line)
            .map_err(|detail| Failure::new("SUBSCRIBER_STATUS_NOT_ELIGIBLE", &detail))?;
        if let Some(group) = order.body.group().filter(|group| !self.groups.contains(*group)) {
            return Err(Failure::new("GROUP_NOT_FOUND", &format!("Group {group} is unknown")));
        }
        match order.operation {
            LineOperation::SimSwap => self.swap_sim(at, &order),
            LineOperation::MsisdnSwap => self.swap_msisdn(at, &order),
            LineOperation::TariffHoliday if self.assumptions.tariff_holiday_delay_ms > 0 => {
                let first_day = later(at, self.assumptions.tariff_holiday_delay_ms);
                self.schedule.add(first_day, Due::Change(place));
                Ok(())
            }
            _ => self.change_line(at, &order),
        }
    }

    /// A change that was put off to the next bill cycle; nothing happens when the line has left the status since.
    pub(crate) fn change_put_off(&mut self, at: DateTime<Utc>, place: usize) {
        let Some(order) = self.order_at(place) else { return };
        let line = self.lines.get(&order.iccid);
        if line.is_some_and(|line| self.check_status(order.operation, line).is_ok()) {
            // Without options and number, such a change has nothing to fail at.
            drop(self.change_line(at, &order));
        }
    }

    fn order_at(&self, place: usize) -> Option<Order> {
        self.transactions.get(place).map(|transaction| Order {
            transaction_id: transaction.id.clone(),
            iccid: transaction.iccid.clone(),
            operation: transaction.operation,
            body: transaction.body.clone(),
        })
    }

    fn change_line(&mut self, at: DateTime<Utc>, order: &Order) -> Result<(), Failure> {
        let Some(line) = self.lines.get(&order.iccid) else { return Ok(()) };
        let options = self.options_after(order, line)?;
        let needs_number = line.msisdn.is_none();
        if needs_number && matches!(order.operation, LineOperation::Activate | LineOperation::TestMode) {
            self.attribute_number(&order.iccid)?;
        }
        let Some(line) = self.lines.get_mut(&order.iccid) else { return Ok(()) };
        if let Some(options) = options {
            line.subscriber_mut().options = options;
        }
        fill_in(line, order);
        if let Some(status) = order.operation.target() {
            line.set_status(status, at);
            if status == SimStatus::Suspended {
                line.subscriber_mut().suspended_by = Some(SuspendedBy::Customer);
            }
        }
        line.modified_at = at;
        line.keep_view(at);
        self.tell(at, order, &order.iccid, None);
        Ok(())
    }

    /// The line's options afterwards; `None` when they stay.
    fn options_after(&self, order: &Order, line: &Line) -> Result<Option<Options>, Failure> {
        let rate_plan = order.body.rate_plan.as_deref().unwrap_or(&self.config.rate_plan);
        let catalogue: &[OptionSpec] = self.config.options.get(rate_plan).map_or(&[], Vec::as_slice);
        let sent = order.body.options.as_deref().unwrap_or_default();
        let before = match order.operation {
            LineOperation::Activate | LineOperation::TestMode => options::defaults(catalogue),
            // Another rate plan brings its own defaults.
            LineOperation::Modify if line.subscriber.rate_plan.as_deref() != Some(rate_plan) => {
                options::defaults(catalogue)
            }
            LineOperation::Modify => line.subscriber.options.clone(),
            _ => return Ok(None),
        };
        // An account whose rate plans are all known has no others.
        let unknown = catalogue.is_empty() && rate_plan != self.config.rate_plan;
        if unknown && !self.config.options.is_empty() {
            return Err(Failure::new("RATE_PLAN_NOT_FOUND", &format!("Rate plan {rate_plan} is unknown")));
        }
        options::overlay(catalogue, before, sent).map(Some)
    }

    /// Gives a line the next free number of the pool.
    pub(crate) fn attribute_number(&mut self, iccid: &str) -> Result<Msisdn, Failure> {
        let number = self.free_number();
        let number = number.ok_or_else(|| Failure::new("MSISDN_NOT_AVAILABLE", "No number is free"))?;
        if let Some(line) = self.lines.get_mut(iccid) {
            let former = line.msisdn.replace(number.clone());
            if let Some(former) = former {
                self.msisdns.remove(former.as_str());
            }
            self.msisdns.insert(number.as_str().to_owned(), iccid.to_owned());
        }
        Ok(number)
    }

    fn free_number(&mut self) -> Option<Msisdn> {
        let block = self.config.seed % 1000;
        loop {
            let number = format!("8825{block:03}{:08}", self.numbers_made);
            if !is_msisdn(&number) {
                return None;
            }
            self.numbers_made += 1;
            if !self.msisdns.contains_key(&number) {
                return Msisdn::parse(&number).ok();
            }
        }
    }

    /// The event of a change, unless events are switched off. `extra` is the identifier that a swap took away.
    pub(crate) fn tell(
        &mut self,
        at: DateTime<Utc>,
        order: &Order,
        iccid: &str,
        extra: Option<(&'static str, Value)>,
    ) {
        if self.assumptions.line_event != LineEvent::Never {
            let name = self.event_name(order.operation);
            let transaction_id = Some(order.transaction_id.as_str());
            let origin = Origin { source: "api", transaction_id, failed: false, extra };
            self.emit_subscriber(at, &name, &origin, iccid);
        }
    }

    /// The event of a transaction that failed, in the name of what it would have done.
    pub(crate) fn tell_failure(&mut self, at: DateTime<Utc>, place: usize) {
        let Some(order) = self.order_at(place) else { return };
        let name = self.event_name(order.operation);
        let transaction_id = Some(order.transaction_id.as_str());
        let origin = Origin { source: "api", transaction_id, failed: true, extra: None };
        self.emit_subscriber(at, &name, &origin, &order.iccid);
    }
}

/// What activation, modification and contact information write down.
fn fill_in(line: &mut Line, order: &Order) {
    let body = &order.body;
    let subscriber = line.subscriber_mut();
    if let Some(group) = body.group() {
        subscriber.group = Some(group.to_owned());
    }
    if matches!(order.operation, LineOperation::Activate | LineOperation::Modify | LineOperation::TestMode) {
        subscriber.rate_plan = body.rate_plan.clone().or(subscriber.rate_plan.take());
        subscriber.external_reference =
            body.external_reference.clone().or(subscriber.external_reference.take());
        let country = body.subscriber_country_of_residence.clone();
        subscriber.country_of_residence = country.or(subscriber.country_of_residence.take());
    }
    if order.operation == LineOperation::ContactInfo {
        subscriber.contact = body.subscriber_info.clone().or(subscriber.contact.take());
    }
}

#[cfg(test)]
mod tests;
