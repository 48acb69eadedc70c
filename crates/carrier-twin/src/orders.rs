//! Product orders: `POST /ocs/subscriptions/api/orders/products` (assumptions A2 and A3).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::assumptions::OrderCheck;
use crate::line::is_msisdn;
use crate::reply::{Answer, Outcome, Problem, date};
use crate::request::TwinRequest;
use crate::state::Twin;
use crate::subscription::SubscriptionStatus;

const MAX_REFERENCE: usize = 255;

/// Order types that the twin carries out. Of the documented ones `modify` is missing: its fields are not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderType {
    /// On a pre-activated line.
    Preload,
    /// On an active line.
    Subscribe,
    /// Lets a recurring plan end with its period.
    CancelRenewal,
    /// Ends a plan at once.
    Terminate,
}

impl OrderType {
    fn read(text: &str) -> Option<Self> {
        match text {
            "preload" => Some(Self::Preload),
            "subscribe" => Some(Self::Subscribe),
            "cancelRenewal" => Some(Self::CancelRenewal),
            "terminate" => Some(Self::Terminate),
            _ => None,
        }
    }

    /// Whether it changes a plan instead of selling one.
    fn changes_a_plan(self) -> bool {
        matches!(self, Self::CancelRenewal | Self::Terminate)
    }
}

/// An order that was accepted: the truth to hold a client's books against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedOrder {
    /// Order id of the reply.
    pub id: String,
    /// Digits of the MSISDN.
    pub msisdn: String,
    /// Product id.
    pub product: String,
    /// Order type.
    pub order_type: OrderType,
    /// The caller's reference.
    pub transaction_reference: Option<String>,
    /// The subscription that it made or changed.
    pub subscription_id: String,
    /// When it took effect.
    pub submitted_at: DateTime<Utc>,
    #[serde(skip)]
    source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderBody {
    bind: Bind,
    product: ProductRef,
    #[serde(default)]
    payment: Option<Payment>,
    source: String,
    order_type: String,
    mvno_ref: String,
    #[serde(default)]
    transaction_reference: Option<String>,
    #[serde(default)]
    subscription_id: Option<String>,
}

#[derive(Deserialize)]
struct Bind {
    msisdn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProductRef {
    product_id: String,
}

#[derive(Deserialize)]
struct Payment {
    provider: String,
}

impl OrderBody {
    fn read(body: &[u8]) -> Result<(Self, OrderType), Problem> {
        let body: Self = serde_json::from_slice(body)
            .map_err(|error| Problem::bad_request(format!("Order body: {error}")))?;
        if !is_msisdn(&body.bind.msisdn) {
            return Err(Problem::bad_request("bind.msisdn must be 6 to 15 digits without +"));
        }
        if body.source.is_empty() || body.product.product_id.is_empty() {
            return Err(Problem::bad_request("source and product.productId must not be empty"));
        }
        if body.transaction_reference.as_ref().is_some_and(|text| text.chars().count() > MAX_REFERENCE) {
            return Err(Problem::bad_request("transactionReference must have 255 characters at most"));
        }
        let unknown = "orderType must be preload, subscribe, cancelRenewal or terminate";
        let order_type = OrderType::read(&body.order_type).ok_or_else(|| Problem::bad_request(unknown))?;
        if order_type.changes_a_plan() && body.subscription_id.as_deref().is_none_or(str::is_empty) {
            return Err(Problem::bad_request("subscriptionId is mandatory for this orderType"));
        }
        Ok((body, order_type))
    }
}

impl Twin {
    /// The accepted orders, oldest first.
    pub fn orders(&self) -> &[RecordedOrder] {
        &self.orders
    }

    /// `POST /ocs/subscriptions/api/orders/products`.
    pub(crate) fn place_order(&mut self, now: DateTime<Utc>, request: &TwinRequest) -> Outcome {
        let (body, order_type) = OrderBody::read(&request.body)?;
        if self.assumptions.deduplicate_orders
            && let Some(first) = self.order_with_reference(body.transaction_reference.as_deref())
        {
            return Ok(Answer::json(self.assumptions.order_accepted_status, self.order_reply(first)));
        }
        for check in &self.assumptions.order_checks {
            self.check_order(*check, &body, order_type)?;
        }
        // A check may be switched off, but a plan cannot be put on nothing.
        let unknown = |title| Problem::new(self.assumptions.order_refused_status, title, "Order failed");
        let product =
            self.product(&body.product.product_id).ok_or_else(|| unknown("PRODUCT_NOT_FOUND"))?.clone();
        let line = self.line_of_msisdn(&body.bind.msisdn).ok_or_else(|| unknown("SUBSCRIBER_NOT_FOUND"))?;
        let iccid = line.spec.iccid.as_str().to_owned();
        let reference = body.transaction_reference.clone();
        let plan = match &body.subscription_id {
            Some(id) if order_type.changes_a_plan() => {
                self.change_plan(now, (&iccid, &product.product_id), id, order_type)?
            }
            Some(_) | None => {
                self.subscribe(now, (&iccid, &body.bind.msisdn), &product, order_type, reference)
            }
        };
        let order = RecordedOrder {
            id: self.ids.uuid(),
            msisdn: body.bind.msisdn,
            product: product.product_id,
            order_type,
            transaction_reference: body.transaction_reference,
            subscription_id: plan.subscription_id,
            submitted_at: now,
            source: body.source,
        };
        let reply = self.order_reply(&order);
        self.orders.push(order);
        Ok(Answer::json(self.assumptions.order_accepted_status, reply))
    }

    fn check_order(&self, check: OrderCheck, body: &OrderBody, order_type: OrderType) -> Result<(), Problem> {
        let refused = |title, detail| Err(self.order_refusal(title, detail));
        let line = self.line_of_msisdn(&body.bind.msisdn);
        match check {
            // What is sold already is neither sold nor paid again, whatever the line's status.
            OrderCheck::Status | OrderCheck::Payment if order_type.changes_a_plan() => Ok(()),
            OrderCheck::Account if body.mvno_ref != self.config.mvno_ref => Err(Problem::new(
                self.assumptions.insufficient_permission_status,
                "INSUFFICIENT_PERMISSION",
                "Order failed - mvnoRef is not the account's",
            )),
            OrderCheck::Subscriber if line.is_none() => {
                refused("SUBSCRIBER_NOT_FOUND", "Subscriber is unknown")
            }
            OrderCheck::Product => match self.product(&body.product.product_id) {
                None => refused("PRODUCT_NOT_FOUND", "Product is unknown"),
                Some(product) if !product.available && !order_type.changes_a_plan() => {
                    refused("PRODUCT_NOT_ELIGIBLE", "Product is not on sale")
                }
                Some(_) => Ok(()),
            },
            OrderCheck::Status => self.check_line(body, order_type),
            OrderCheck::Payment
                if body.payment.as_ref().is_none_or(|payment| payment.provider != "customer") =>
            {
                Err(Problem::bad_request("payment.provider must be customer"))
            }
            OrderCheck::Account | OrderCheck::Subscriber | OrderCheck::Payment => Ok(()),
        }
    }

    /// Whether the line, and what it has already, leave room for the product.
    fn check_line(&self, body: &OrderBody, order_type: OrderType) -> Result<(), Problem> {
        let statuses = if order_type == OrderType::Preload {
            &self.assumptions.preload_statuses
        } else {
            &self.assumptions.subscribe_statuses
        };
        let line = self.line_of_msisdn(&body.bind.msisdn);
        if line.is_some_and(|line| !statuses.contains(&line.sim_status)) {
            let detail = "Subscriber status is not compatible with the order";
            return Err(self.order_refusal("SUBSCRIBER_STATUS_NOT_ELIGIBLE", detail));
        }
        let plans = self.subscriptions_of(&body.bind.msisdn);
        let live = plans.iter().any(|plan| plan.status != SubscriptionStatus::Terminated);
        if live && !self.assumptions.several_plans_per_line {
            return Err(self.order_refusal("PRODUCT_NOT_ELIGIBLE", "Subscriber has a product already"));
        }
        Ok(())
    }

    pub(crate) fn order_refusal(&self, title: &str, detail: &str) -> Problem {
        Problem::new(self.assumptions.order_refused_status, title, format!("Order failed - {detail}"))
    }

    fn order_with_reference(&self, reference: Option<&str>) -> Option<&RecordedOrder> {
        let reference = reference?;
        self.orders.iter().find(|order| order.transaction_reference.as_deref() == Some(reference))
    }

    fn order_reply(&self, order: &RecordedOrder) -> Value {
        let mut reply = json!({
            "id": order.id,
            "orderReference": format!("ORD-{}", order.id.get(..8).unwrap_or_default().to_uppercase()),
            "status": "done",
            "submissionDate": date(order.submitted_at),
            "bind": { "msisdn": order.msisdn },
            "source": order.source,
            "mvnoRef": self.config.mvno_ref,
            "subscriptionId": order.subscription_id,
        });
        if let (Some(fields), Some(reference)) = (reply.as_object_mut(), &order.transaction_reference) {
            fields.insert("transactionReference".to_owned(), json!(reference));
        }
        reply
    }
}

#[cfg(test)]
mod tests;
