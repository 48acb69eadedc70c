//! Product orders that change a plan which is there already: `cancelRenewal` and `terminate`. Which fields they carry
//! beside those of every order is not public; the plan's id as `subscriptionId` is inferred.

use chrono::{DateTime, Utc};

use crate::orders::OrderType;
use crate::reply::Problem;
use crate::state::Twin;
use crate::subscription::{Subscription, SubscriptionStatus};

impl Twin {
    /// Finds the plan that an order is about and changes it.
    pub(crate) fn change_plan(
        &mut self,
        now: DateTime<Utc>,
        (iccid, product_id): (&str, &str),
        subscription_id: &str,
        order_type: OrderType,
    ) -> Result<Subscription, Problem> {
        let refused = |title, detail| self.order_refusal(title, detail);
        let places = self.subscriptions_by_iccid.get(iccid).into_iter().flatten().copied();
        let mut plans = places.filter_map(|place| Some((place, self.subscriptions.get(place)?)));
        let found =
            plans.find(|(_, plan)| plan.subscription_id == subscription_id && plan.product_id == product_id);
        let (place, plan) =
            found.ok_or_else(|| refused("SUBSCRIPTION_NOT_FOUND", "Subscriber has no such subscription"))?;
        let possible = match order_type {
            OrderType::CancelRenewal => self.renews(plan),
            OrderType::Preload | OrderType::Subscribe | OrderType::Terminate => {
                plan.status != SubscriptionStatus::Terminated
            }
        };
        if !possible {
            let detail = "Subscription status is not compatible with the order";
            return Err(refused("SUBSCRIPTION_NOT_ELIGIBLE", detail));
        }
        let changed = if order_type == OrderType::CancelRenewal {
            self.cancel_renewal(now, place)
        } else {
            self.terminate_plan(now, place)
        };
        changed.ok_or_else(|| Problem::new(500, "INTERNAL_ERROR", "Internal error"))
    }

    fn cancel_renewal(&mut self, now: DateTime<Utc>, place: usize) -> Option<Subscription> {
        let plan = self.subscriptions.get_mut(place)?;
        plan.renewal_cancelled = true;
        let plan = plan.clone();
        self.emit_product(now, "CANCELED", &plan);
        Some(plan)
    }

    fn terminate_plan(&mut self, now: DateTime<Utc>, place: usize) -> Option<Subscription> {
        let plan = self.subscriptions.get_mut(place)?;
        plan.status = SubscriptionStatus::Terminated;
        plan.expiration_date = now;
        let plan = plan.clone();
        self.emit_product(now, "TERMINATED", &plan);
        Some(plan)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::{Value, json};
    use simdepot_domain::sim::SimStatus;

    use crate::subscription::SubscriptionStatus;
    use crate::testing::{ALBANIA, Bench, at};
    use crate::{LineSpec, TwinReply};

    const MONTHLY: &str = "WW_901O_RECURRING_EUROPE_5GB_1M";
    const DAY: i64 = 24 * 60;

    /// A running plan on an active line, and its id.
    fn running(bench: &mut Bench, product: &str, country: &str) -> (LineSpec, String) {
        let line = bench.line();
        bench.install(&line.iccid);
        bench.twin.set_line_status(&line.iccid, SimStatus::Active, at(0)).unwrap();
        let order = bench.order_of(&line, "subscribe", product).json().unwrap();
        bench.twin.attach(&line.iccid, country, at(1)).unwrap();
        (line, order["subscriptionId"].as_str().unwrap().to_owned())
    }

    fn change(bench: &mut Bench, line: &LineSpec, kind: &str, (product, id): (&str, &Value)) -> TwinReply {
        let mut body = bench.order_body(line, kind);
        body["product"]["productId"] = json!(product);
        body["subscriptionId"] = id.clone();
        body.as_object_mut().unwrap().remove("payment");
        bench.post_order(&body)
    }

    fn last_event(bench: &Bench) -> (&str, DateTime<Utc>) {
        let event = bench.twin.events().last().unwrap();
        (event.event_type.as_str(), event.event_date)
    }

    #[test]
    fn a_cancelled_renewal_lets_the_period_run_out() {
        let mut bench = Bench::new();
        let (line, id) = running(&mut bench, MONTHLY, "FR");
        assert_eq!(change(&mut bench, &line, "cancelRenewal", (MONTHLY, &json!(id))).status(), Some(201));
        assert_eq!(last_event(&bench).0, "OCS/PRODUCT/CANCELED");
        let status = |bench: &Bench| bench.twin.subscriptions_of(line.msisdn())[0].status;
        assert_eq!(status(&bench), SubscriptionStatus::Active);
        let again = change(&mut bench, &line, "cancelRenewal", (MONTHLY, &json!(id)));
        assert_eq!(again.json().unwrap()["title"], "SUBSCRIPTION_NOT_ELIGIBLE");
        bench.twin.begin(at(32 * DAY));
        assert_eq!(
            (status(&bench), last_event(&bench).0),
            (SubscriptionStatus::Terminated, "OCS/PRODUCT/EXPIRED")
        );
    }

    #[test]
    fn a_terminated_plan_ends_at_once() {
        let mut bench = Bench::new();
        let (line, id) = running(&mut bench, ALBANIA, "AL");
        assert_eq!(change(&mut bench, &line, "terminate", (ALBANIA, &json!(id))).status(), Some(201));
        let plan = bench.twin.subscriptions_of(line.msisdn())[0].clone();
        assert_eq!((plan.status, plan.expiration_date), (SubscriptionStatus::Terminated, at(0)));
        assert_eq!(last_event(&bench), ("OCS/PRODUCT/TERMINATED", at(0)));
        let again = change(&mut bench, &line, "terminate", (ALBANIA, &json!(id)));
        assert_eq!(again.json().unwrap()["title"], "SUBSCRIPTION_NOT_ELIGIBLE");
        assert_eq!(bench.twin.orders().len(), 2);
    }

    #[test]
    fn the_plan_must_be_named_and_fit() {
        let mut bench = Bench::new();
        let (line, id) = running(&mut bench, ALBANIA, "AL");
        let other = bench.line();
        for (line, kind, product, id, title) in [
            (&line, "terminate", ALBANIA, Value::Null, "BAD_REQUEST"),
            (&line, "terminate", ALBANIA, json!("no-such"), "SUBSCRIPTION_NOT_FOUND"),
            (&line, "terminate", MONTHLY, json!(id), "SUBSCRIPTION_NOT_FOUND"),
            (&other, "terminate", ALBANIA, json!(id), "SUBSCRIPTION_NOT_FOUND"),
            (&line, "cancelRenewal", ALBANIA, json!(id), "SUBSCRIPTION_NOT_ELIGIBLE"),
        ] {
            let reply = change(&mut bench, line, kind, (product, &id));
            assert_eq!((reply.status(), &reply.json().unwrap()["title"]), (Some(400), &json!(title)));
        }
    }
}
