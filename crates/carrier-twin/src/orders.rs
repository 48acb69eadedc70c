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

/// Order types that the twin carries out. The fields of the other documented ones are not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderType {
    /// On a pre-activated line.
    Preload,
    /// On an active line.
    Subscribe,
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
    /// The subscription that it made.
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
        let body: Self =
            serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("Order body: {error}")))?;
        if !is_msisdn(&body.bind.msisdn) {
            return Err(Problem::bad_request("bind.msisdn must be 6 to 15 digits without +"));
        }
        if body.source.is_empty() || body.product.product_id.is_empty() {
            return Err(Problem::bad_request("source and product.productId must not be empty"));
        }
        if body.transaction_reference.as_ref().is_some_and(|text| text.chars().count() > MAX_REFERENCE) {
            return Err(Problem::bad_request("transactionReference must have 255 characters at most"));
        }
        let order_type = match body.order_type.as_str() {
            "preload" => OrderType::Preload,
            "subscribe" => OrderType::Subscribe,
            _ => return Err(Problem::bad_request("orderType must be preload or subscribe")),
        };
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
        let product = self.product(&body.product.product_id).ok_or_else(|| unknown("PRODUCT_NOT_FOUND"))?.clone();
        let line = self.line_of_msisdn(&body.bind.msisdn).ok_or_else(|| unknown("SUBSCRIBER_NOT_FOUND"))?;
        let iccid = line.spec.iccid.as_str().to_owned();
        let reference = body.transaction_reference.clone();
        let plan = self.subscribe(now, (&iccid, &body.bind.msisdn), &product, order_type, reference);
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
        let refused = |title: &str, detail: &str| {
            Err(Problem::new(self.assumptions.order_refused_status, title, format!("Order failed - {detail}")))
        };
        let line = self.line_of_msisdn(&body.bind.msisdn);
        match check {
            OrderCheck::Account if body.mvno_ref != self.config.mvno_ref => Err(Problem::new(
                self.assumptions.insufficient_permission_status,
                "INSUFFICIENT_PERMISSION",
                "Order failed - mvnoRef is not the account's",
            )),
            OrderCheck::Subscriber if line.is_none() => refused("SUBSCRIBER_NOT_FOUND", "Subscriber is unknown"),
            OrderCheck::Product => match self.product(&body.product.product_id) {
                None => refused("PRODUCT_NOT_FOUND", "Product is unknown"),
                Some(product) if !product.available => refused("PRODUCT_NOT_ELIGIBLE", "Product is not on sale"),
                Some(_) => Ok(()),
            },
            OrderCheck::Status => {
                let statuses = match order_type {
                    OrderType::Preload => &self.assumptions.preload_statuses,
                    OrderType::Subscribe => &self.assumptions.subscribe_statuses,
                };
                if line.is_some_and(|line| !statuses.contains(&line.sim_status)) {
                    return refused(
                        "SUBSCRIBER_STATUS_NOT_ELIGIBLE",
                        "Subscriber status is not compatible with the order",
                    );
                }
                let live = |msisdn| self.subscriptions_of(msisdn).iter().any(|plan| plan.status != SubscriptionStatus::Terminated);
                if !self.assumptions.several_plans_per_line && live(&body.bind.msisdn) {
                    return refused("PRODUCT_NOT_ELIGIBLE", "Subscriber has a product already");
                }
                Ok(())
            }
            OrderCheck::Payment if body.payment.as_ref().is_none_or(|payment| payment.provider != "customer") => {
                Err(Problem::bad_request("payment.provider must be customer"))
            }
            OrderCheck::Account | OrderCheck::Subscriber | OrderCheck::Payment => Ok(()),
        }
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
mod tests {
    use simdepot_domain::sim::SimStatus;

    use super::*;
    use crate::testing::{Bench, at};

    #[test]
    fn an_accepted_order_is_done_at_once_and_recorded() {
        let mut bench = Bench::new();
        let line = bench.line();
        let reply = bench.order(&line, "preload");
        assert_eq!(reply.status(), Some(201));
        let body = reply.json().unwrap();
        let order = bench.twin.orders()[0].clone();
        assert_eq!((&body["status"], &body["subscriptionId"]), (&json!("done"), &json!(order.subscription_id)));
        assert_eq!((&body["id"], &body["transactionReference"]), (&json!(order.id), &json!("ref-1")));
        assert_eq!((order.order_type, order.msisdn.as_str()), (OrderType::Preload, line.msisdn()));
        assert_eq!(bench.twin.subscriptions_of(line.msisdn()).len(), 1);
    }

    #[test]
    fn a2_checks_run_in_the_documented_order() {
        let mut bench = Bench::new();
        let line = bench.line();
        bench.twin.set_line_status(&line.iccid, SimStatus::Suspended, at(0)).unwrap();
        let mut body = json!({
            "bind": {"msisdn": "+33612345678"}, "product": {"productId": "NO_SUCH"}, "payment": {"provider": "credit"},
            "source": "api", "orderType": "preload", "mvnoRef": "OTHER",
        });
        let mut refused = |bench: &mut Bench, path: &str, value: &str| {
            let reply = bench.post_order(&body);
            *body.pointer_mut(path).unwrap() = json!(value);
            (reply.status().unwrap(), reply.json().unwrap()["title"].as_str().unwrap_or_default().to_owned())
        };
        let mvno = bench.twin.config().mvno_ref.clone();
        let mut titles = Vec::new();
        for (path, value) in [
            ("/bind/msisdn", "33612345678"),
            ("/mvnoRef", mvno.as_str()),
            ("/bind/msisdn", line.msisdn()),
            ("/product/productId", crate::testing::ALBANIA),
        ] {
            titles.push(refused(&mut bench, path, value));
        }
        titles.push(refused(&mut bench, "/source", "api"));
        bench.twin.set_line_status(&line.iccid, SimStatus::Preactivated, at(0)).unwrap();
        titles.push(refused(&mut bench, "/payment/provider", "customer"));
        let expected = [
            (400, "BAD_REQUEST"),
            (403, "INSUFFICIENT_PERMISSION"),
            (400, "SUBSCRIBER_NOT_FOUND"),
            (400, "PRODUCT_NOT_FOUND"),
            (400, "SUBSCRIBER_STATUS_NOT_ELIGIBLE"),
            (400, "BAD_REQUEST"),
        ];
        assert_eq!(titles, expected.map(|(status, title)| (status, title.to_owned())));
        assert!(bench.twin.orders().is_empty());
        assert_eq!(bench.post_order(&body).status(), Some(201));
    }

    #[test]
    fn a2_the_order_of_checks_and_the_statuses_can_be_changed() {
        let mut bench = Bench::new();
        let body = json!({
            "bind": {"msisdn": "33612345678"}, "product": {"productId": "NO_SUCH"}, "payment": {"provider": "customer"},
            "source": "api", "orderType": "preload", "mvnoRef": "OTHER",
        });
        bench.twin.assumptions_mut().order_checks = vec![OrderCheck::Product];
        bench.twin.assumptions_mut().order_refused_status = 404;
        let reply = bench.post_order(&body);
        assert_eq!((reply.status(), &reply.json().unwrap()["title"]), (Some(404), &json!("PRODUCT_NOT_FOUND")));
        bench.twin.assumptions_mut().order_checks.clear();
        assert_eq!(bench.post_order(&body).status(), Some(404));
        assert!(bench.twin.orders().is_empty());
    }

    #[test]
    fn a2_bodies_out_of_shape_are_named() {
        let mut bench = Bench::new();
        let line = bench.line();
        let good = bench.order_body(&line, "preload");
        for (path, value, word) in [
            ("/orderType", json!("terminate"), "orderType"),
            ("/transactionReference", json!("x".repeat(256)), "transactionReference"),
            ("/bind/msisdn", json!("12345"), "msisdn"),
            ("/bind", json!({"iccid": line.iccid}), "msisdn"),
            ("/source", json!(""), "source"),
        ] {
            let mut body = good.clone();
            *body.pointer_mut(path).unwrap() = value;
            let problem = bench.post_order(&body).json().unwrap();
            assert_eq!(problem["title"], "BAD_REQUEST");
            assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
        }
    }

    #[test]
    fn a3_each_type_has_its_status_and_nothing_is_deduplicated() {
        let mut bench = Bench::new();
        let line = bench.line();
        assert_eq!(bench.order(&line, "subscribe").json().unwrap()["title"], "SUBSCRIBER_STATUS_NOT_ELIGIBLE");
        assert_eq!(bench.order(&line, "preload").status(), Some(201));
        assert_eq!(bench.order(&line, "preload").status(), Some(201));
        bench.twin.set_line_status(&line.iccid, SimStatus::Active, at(1)).unwrap();
        assert_eq!(bench.order(&line, "preload").json().unwrap()["title"], "SUBSCRIBER_STATUS_NOT_ELIGIBLE");
        assert_eq!(bench.order(&line, "subscribe").status(), Some(201));
        assert_eq!((bench.twin.orders().len(), bench.twin.subscriptions_of(line.msisdn()).len()), (3, 3));
    }

    #[test]
    fn a3_can_be_turned_over() {
        let mut bench = Bench::new();
        let line = bench.line();
        bench.twin.assumptions_mut().deduplicate_orders = true;
        let first = bench.order(&line, "preload").json().unwrap();
        assert_eq!(bench.order(&line, "preload").json().unwrap()["subscriptionId"], first["subscriptionId"]);
        assert_eq!(bench.twin.orders().len(), 1);
        bench.twin.assumptions_mut().deduplicate_orders = false;
        bench.twin.assumptions_mut().several_plans_per_line = false;
        assert_eq!(bench.order(&line, "preload").json().unwrap()["title"], "PRODUCT_NOT_ELIGIBLE");
        bench.twin.assumptions_mut().several_plans_per_line = true;
        bench.twin.assumptions_mut().preload_statuses.push(SimStatus::Active);
        bench.twin.set_line_status(&line.iccid, SimStatus::Active, at(1)).unwrap();
        assert_eq!(bench.order(&line, "preload").status(), Some(201));
    }
}
