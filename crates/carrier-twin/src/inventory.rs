//! The inventory of plans: `GET /ocs/inventory/api/subscriptions/products[/{subscriptionId}]` (assumption A6).

use serde_json::{Value, json};

use crate::line::is_msisdn;
use crate::reply::{Answer, Outcome, Problem, date};
use crate::request::TwinRequest;
use crate::state::Twin;
use crate::subscription::{Subscription, SubscriptionStatus};

/// Values of `statuses` that the API's description lists.
const STATUSES: &[&str] =
    &["active", "pending", "pendingForFirstUse", "readyForUse", "scheduled", "terminated"];

impl Twin {
    /// The list of a subscriber's plans.
    pub(crate) fn inventory(&self, request: &TwinRequest) -> Outcome {
        let msisdn = request.query_value("msisdn").unwrap_or_default();
        if !is_msisdn(&msisdn) {
            return Err(Problem::bad_request("msisdn must be 6 to 15 digits without +"));
        }
        let statuses = self.wanted_statuses(request)?;
        if self.line_of_msisdn(&msisdn).is_none() && self.assumptions.inventory_unknown_msisdn_is_404 {
            return Err(Problem::new(404, "SUBSCRIBER_NOT_FOUND", "Subscriber is unknown"));
        }
        let only = request.query_value("subscriptionId");
        let with_balances = wants_balances(request);
        let plans: Vec<Value> = self
            .subscriptions_of(&msisdn)
            .into_iter()
            .filter(|plan| only.as_ref().is_none_or(|id| *id == plan.subscription_id))
            .filter(|plan| self.shows(plan, &statuses))
            .map(|plan| self.inventory_entry(plan, with_balances))
            .collect();
        Ok(Answer::json(200, json!({ "currentLocale": "en_US", "productSubscriptions": plans })))
    }

    /// One plan by its id, wrapped like the list; the shape of this reply is inferred from it.
    pub(crate) fn inventory_single(&self, request: &TwinRequest, subscription_id: &str) -> Outcome {
        let plan = self.subscriptions.iter().find(|plan| plan.subscription_id == subscription_id);
        let plan =
            plan.ok_or_else(|| Problem::new(404, "SUBSCRIPTION_NOT_FOUND", "Subscription is unknown"))?;
        let entry = self.inventory_entry(plan, wants_balances(request));
        Ok(Answer::json(200, json!({ "currentLocale": "en_US", "productSubscriptions": [entry] })))
    }

    fn wanted_statuses(&self, request: &TwinRequest) -> Result<Vec<String>, Problem> {
        let mut statuses = request.query_values("statuses");
        if !self.assumptions.inventory_refuses_commas {
            statuses = statuses.iter().flat_map(|value| value.split(',')).map(str::to_owned).collect();
        }
        match statuses.iter().find(|status| !STATUSES.contains(&status.as_str())) {
            Some(_) => Err(Problem::bad_request(format!(
                "statuses must be one of {} each; repeat the parameter for several",
                STATUSES.join(" ")
            ))),
            None => Ok(statuses),
        }
    }

    fn shows(&self, plan: &Subscription, statuses: &[String]) -> bool {
        if !self.assumptions.inventory_filters_statuses {
            return true;
        }
        if statuses.is_empty() {
            return plan.status != SubscriptionStatus::Terminated
                || self.assumptions.inventory_default_shows_terminated;
        }
        statuses.iter().any(|status| json!(plan.status) == *status.as_str())
    }

    fn inventory_entry(&self, plan: &Subscription, with_balances: bool) -> Value {
        let product = self.product(&plan.product_id);
        let definition = product.map(|product| product.definition(self.assumptions.deferred_period_months));
        let mut entry = json!({
            "subscriptionId": plan.subscription_id,
            "status": plan.status,
            "productDefinition": definition.unwrap_or_else(|| json!({ "productId": plan.product_id })),
            "subscriptionDate": date(plan.subscription_date),
            "expirationDate": date(plan.expiration_date),
        });
        let Some(fields) = entry.as_object_mut() else { return entry };
        if let Some(started) = plan.activation_date {
            fields.insert("activationDate".to_owned(), json!(date(started)));
        }
        if with_balances {
            let balances = match (plan.period_start, product) {
                (Some(start), Some(product)) => json!({ "data": [{
                    "resourceName": "DATA_BUNDLE_COUNTRY",
                    "resourceLabel": "Data",
                    "resourceUnit": "KB",
                    "resourceValue": product.resource_value(Some(plan.remaining_kb)),
                    "resourceStartValue": product.resource_value(product.data_kb),
                    "resourceStartDate": date(start),
                    "resourceEndDate": date(plan.expiration_date),
                }]}),
                (None, _) | (_, None) => json!({}),
            };
            fields.insert("balances".to_owned(), balances);
        }
        entry
    }
}

fn wants_balances(request: &TwinRequest) -> bool {
    request.query_value("withBalances").as_deref() == Some("true")
}

#[cfg(test)]
mod tests;
