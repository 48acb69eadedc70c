//! Plans on lines: how they wait, start, run out and end (assumptions A4 and A5).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::assumptions::{ExhaustedPlan, PlanStart};
use crate::catalogue::{Category, Product, Validity};
use crate::orders::OrderType;
use crate::state::Twin;

/// Status of a plan in the inventory (Transatel OCS inventory).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SubscriptionStatus {
    /// Preloaded; waits for the line's first use.
    PendingForFirstUse,
    /// Subscribed on an active line; waits for use in a covered country.
    ReadyForUse,
    /// Running.
    Active,
    /// Over.
    Terminated,
}

/// One product on one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subscription {
    /// Id, in the shape of a UUID.
    pub subscription_id: String,
    /// Digits of the line's MSISDN.
    pub msisdn: String,
    /// The line's ICCID.
    pub iccid: String,
    /// Product.
    pub product_id: String,
    /// Status.
    pub status: SubscriptionStatus,
    /// When it was ordered.
    pub subscription_date: DateTime<Utc>,
    /// When it started.
    pub activation_date: Option<DateTime<Utc>>,
    /// Before the start the last day to start, after it the end of the plan.
    pub expiration_date: DateTime<Utc>,
    /// Start of the present period: the activation, or the last renewal.
    pub period_start: Option<DateTime<Utc>>,
    /// Data left in KB; meaningless for an unlimited product.
    pub remaining_kb: u64,
    /// The order's own reference.
    pub transaction_reference: Option<String>,
    /// Whether a recurring plan ends with its period.
    pub renewal_cancelled: bool,
}

impl Subscription {
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.status, SubscriptionStatus::PendingForFirstUse | SubscriptionStatus::ReadyForUse)
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == SubscriptionStatus::Active
    }
}

impl Twin {
    /// The plans of the line that has a number now, oldest first, over ones included. Plans that ended since the last
    /// request show so after the next one.
    pub fn subscriptions_of(&self, msisdn: &str) -> Vec<&Subscription> {
        self.msisdns.get(msisdn).map(|iccid| self.subscriptions_on(iccid)).unwrap_or_default()
    }

    /// The plans of a SIM, as [`Twin::subscriptions_of`].
    pub fn subscriptions_on(&self, iccid: &str) -> Vec<&Subscription> {
        let places = self.subscriptions_by_iccid.get(iccid).into_iter().flatten();
        places.filter_map(|&place| self.subscriptions.get(place)).collect()
    }

    pub(crate) fn has_active(&self, msisdn: &str, product_id: &str) -> bool {
        self.subscriptions_of(msisdn).iter().any(|plan| plan.product_id == product_id && plan.is_active())
    }

    /// Puts a product on a line.
    pub(crate) fn subscribe(
        &mut self,
        now: DateTime<Utc>,
        (iccid, msisdn): (&str, &str),
        product: &Product,
        order_type: OrderType,
        transaction_reference: Option<String>,
    ) -> Subscription {
        // The name of the deferred event is inferred: the public list is cut off before it.
        let (status, event) = if order_type == OrderType::Preload {
            (SubscriptionStatus::PendingForFirstUse, "PRELOADED")
        } else {
            (SubscriptionStatus::ReadyForUse, "DEFERRED")
        };
        let deferred = product.deferred_months.unwrap_or(self.assumptions.deferred_period_months);
        let plan = Subscription {
            subscription_id: self.ids.uuid(),
            msisdn: msisdn.to_owned(),
            iccid: iccid.to_owned(),
            product_id: product.product_id.clone(),
            status,
            subscription_date: now,
            activation_date: None,
            expiration_date: Validity::months(deferred).after(now),
            period_start: None,
            remaining_kb: product.data_kb.unwrap_or_default(),
            transaction_reference,
            renewal_cancelled: false,
        };
        let place = self.subscriptions.len();
        self.deadlines.insert((plan.expiration_date, place));
        self.subscriptions_by_iccid.entry(iccid.to_owned()).or_default().push(place);
        self.subscriptions.push(plan.clone());
        if order_type == OrderType::Subscribe && self.assumptions.plan_start == PlanStart::Order {
            self.start(now, place);
        } else {
            self.emit_product(now, event, &plan);
        }
        plan
    }

    /// Starts the plan whose turn it is in a country, if any, and returns its id (A5).
    pub(crate) fn start_next(&mut self, now: DateTime<Utc>, iccid: &str, country: &str) -> Option<String> {
        let places = self.subscriptions_by_iccid.get(iccid)?;
        let covering = |place: &&usize| {
            let plan = self.subscriptions.get(**place);
            plan.and_then(|plan| self.product(&plan.product_id))
                .is_some_and(|product| product.covers(country))
        };
        let covering: Vec<usize> = places.iter().filter(covering).copied().collect();
        if covering.iter().any(|&place| self.holds_the_turn(place)) {
            return None;
        }
        let waiting = |place: &usize| self.subscriptions.get(*place).is_some_and(Subscription::is_waiting);
        let mut waiting = covering.into_iter().filter(waiting);
        let next = if self.assumptions.oldest_plan_first { waiting.next() } else { waiting.next_back() }?;
        self.start(now, next)
    }

    /// Whether a running plan keeps the next one of its country waiting.
    fn holds_the_turn(&self, place: usize) -> bool {
        self.subscriptions.get(place).is_some_and(|plan| {
            let unlimited = self.product(&plan.product_id).is_some_and(|product| product.data_kb.is_none());
            let used_up = !unlimited && plan.remaining_kb == 0;
            plan.is_active() && !(used_up && self.assumptions.exhausted_plan == ExhaustedPlan::MakesRoom)
        })
    }

    fn start(&mut self, now: DateTime<Utc>, place: usize) -> Option<String> {
        let product = self.subscriptions.get(place).and_then(|plan| self.product(&plan.product_id))?;
        let end = product.validity.after(now);
        let plan = self.subscriptions.get_mut(place)?;
        plan.status = SubscriptionStatus::Active;
        plan.activation_date = Some(now);
        plan.period_start = Some(now);
        plan.expiration_date = end;
        let plan = plan.clone();
        self.deadlines.insert((end, place));
        self.emit_product(now, "ACTIVATED", &plan);
        Some(plan.subscription_id)
    }

    /// Takes up to `kb` from the running plans of a line that cover a country, oldest first; returns what no plan
    /// had.
    pub(crate) fn take_data(&mut self, now: DateTime<Utc>, iccid: &str, country: &str, kb: u64) -> u64 {
        let mut left = kb;
        for place in self.subscriptions_by_iccid.get(iccid).cloned().unwrap_or_default() {
            let Some(plan) = self.subscriptions.get(place).filter(|plan| plan.is_active()) else { continue };
            let product = self.product(&plan.product_id).filter(|product| product.covers(country));
            match product.map(|product| product.data_kb) {
                None => {}
                Some(None) => return 0,
                Some(Some(_)) => left = self.take_from(now, place, left),
            }
        }
        left
    }

    fn take_from(&mut self, now: DateTime<Utc>, place: usize, kb: u64) -> u64 {
        let terminates = self.assumptions.exhausted_plan == ExhaustedPlan::Terminates;
        let low = self.low_mark(place);
        let Some(plan) = self.subscriptions.get_mut(place) else { return kb };
        let before = plan.remaining_kb;
        let taken = kb.min(before);
        plan.remaining_kb -= taken;
        if plan.remaining_kb > 0 && plan.remaining_kb <= low && before > low {
            let plan = plan.clone();
            self.emit_resource(now, self.assumptions.resource_threshold_event.clone(), &plan);
        } else if taken > 0 && plan.remaining_kb == 0 {
            if terminates {
                plan.status = SubscriptionStatus::Terminated;
                plan.expiration_date = now;
            }
            let plan = plan.clone();
            self.emit_product(now, "RESOURCE/EXHAUSTED", &plan);
        }
        kb - taken
    }

    /// What is left of a plan's data when its customer is warned, in KB.
    fn low_mark(&self, place: usize) -> u64 {
        let plan = self.subscriptions.get(place);
        let whole = plan.and_then(|plan| self.product(&plan.product_id)).and_then(|product| product.data_kb);
        whole.unwrap_or_default() / 100 * u64::from(self.assumptions.resource_threshold_percent)
    }

    /// Whether a plan starts another period when the present one is over.
    pub(crate) fn renews(&self, plan: &Subscription) -> bool {
        let recurring = |product: &Product| product.category == Category::Recurring;
        plan.is_active() && !plan.renewal_cancelled && self.product(&plan.product_id).is_some_and(recurring)
    }

    /// Ends or renews every plan whose date has come, at that date.
    pub(crate) fn settle_plans(&mut self, now: DateTime<Utc>) {
        while let Some(&(date, place)) = self.deadlines.first().filter(|(date, _)| *date <= now) {
            self.deadlines.remove(&(date, place));
            let Some(plan) = self.subscriptions.get(place) else { continue };
            // A plan that has started since, or ended early, has another date.
            if plan.status == SubscriptionStatus::Terminated || plan.expiration_date != date {
                continue;
            }
            let renewed = self
                .product(&plan.product_id)
                .filter(|_| self.renews(plan))
                .map(|product| (product.validity.after(date), product.data_kb.unwrap_or_default()));
            let Some(plan) = self.subscriptions.get_mut(place) else { continue };
            let event = match renewed {
                Some((end, data_kb)) if end > date => {
                    plan.expiration_date = end;
                    plan.period_start = Some(date);
                    plan.remaining_kb = data_kb;
                    self.deadlines.insert((end, place));
                    "RENEWED"
                }
                Some(_) | None => {
                    plan.status = SubscriptionStatus::Terminated;
                    "EXPIRED"
                }
            };
            let plan = plan.clone();
            self.emit_product(date, event, &plan);
        }
    }
}
