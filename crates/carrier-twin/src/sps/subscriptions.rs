//! Subscriptions: a SIM in service, or one that was.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::devices::device_of;
use super::state::SpsTwin;
use super::writes::LineKey;

/// Status of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionStatus {
    /// In service.
    Active,
    /// Not in service for a while.
    Suspended,
    /// Ended; it can be reactivated.
    Ceased,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpsSubscription {
    /// Whose it is.
    pub subscriber_id: String,
    /// Number.
    pub gpsi: String,
    /// Its identity in the network, an IMSI.
    pub supi: String,
    /// The SIM that it has now.
    pub iccid: String,
    /// The device that it has now.
    pub pei: Option<String>,
    /// EID that its eSIM is on.
    pub eid: Option<String>,
    /// Plan.
    pub wholesale_plan_id: String,
    /// Buckets that it was activated with.
    pub bucket_ref_ids: Vec<Value>,
    /// Where it is used, as given.
    pub location: Value,
    /// Day of the month that its bills begin with.
    pub bill_cycle_start_day: u8,
    /// Products on top of the plan, as given.
    pub products: Vec<Value>,
    /// Status.
    pub status: SubscriptionStatus,
    /// Whether the operator has suspended it.
    pub suspended_by_operator: bool,
    /// When it was activated.
    pub activated_at: DateTime<Utc>,
    /// When it last changed.
    pub changed_at: DateTime<Utc>,
}

/// All subscriptions, and where to find them.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    list: Vec<SpsSubscription>,
    by_iccid: BTreeMap<String, usize>,
    by_gpsi: BTreeMap<String, usize>,
    by_subscriber: BTreeMap<String, Vec<usize>>,
    by_device: BTreeMap<String, BTreeSet<usize>>,
}

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn add(&mut self, subscription: SpsSubscription) {
        let place = self.list.len();
        self.by_gpsi.insert(subscription.gpsi.clone(), place);
        self.by_subscriber.entry(subscription.subscriber_id.clone()).or_default().push(place);
        self.index(place, &subscription);
        self.list.push(subscription);
    }

    /// Changes the subscription of a SIM, which may take another SIM and another device by it.
    pub(super) fn change(&mut self, iccid: &str, change: impl FnOnce(&mut SpsSubscription)) {
        let Some(place) = self.by_iccid.remove(iccid) else { return };
        let Some(subscription) = self.list.get_mut(place) else { return };
        if let Some(places) =
            subscription.pei.as_deref().and_then(|pei| self.by_device.get_mut(device_of(pei)))
        {
            places.remove(&place);
        }
        change(subscription);
        let changed = subscription.clone();
        self.index(place, &changed);
    }

    fn index(&mut self, place: usize, subscription: &SpsSubscription) {
        self.by_iccid.insert(subscription.iccid.clone(), place);
        if let Some(pei) = &subscription.pei {
            self.by_device.entry(device_of(pei).to_owned()).or_default().insert(place);
        }
    }
}

impl SpsTwin {
    /// The subscriptions, in the order activated.
    pub fn subscriptions(&self) -> &[SpsSubscription] {
        &self.subscriptions.list
    }

    /// The subscription that has a SIM now. What has come due since the last request or delivery happens with the
    /// next one, or with [`SpsTwin::settle`].
    pub fn subscription_of_iccid(&self, iccid: &str) -> Option<&SpsSubscription> {
        self.subscriptions.by_iccid.get(iccid).and_then(|&place| self.subscriptions.list.get(place))
    }

    /// The subscription that has a number.
    pub fn subscription_of_gpsi(&self, gpsi: &str) -> Option<&SpsSubscription> {
        self.subscriptions.by_gpsi.get(gpsi).and_then(|&place| self.subscriptions.list.get(place))
    }

    /// The subscriptions of a subscriber, in the order activated.
    pub fn subscriptions_of(&self, subscriber_id: &str) -> impl Iterator<Item = &SpsSubscription> {
        let places = self.subscriptions.by_subscriber.get(subscriber_id).into_iter().flatten();
        places.filter_map(|&place| self.subscriptions.list.get(place))
    }

    /// The newest subscription that a device is in, one in service rather than a ceased one.
    pub(super) fn subscription_of_pei(&self, pei: &str) -> Option<&SpsSubscription> {
        let places = self.subscriptions.by_device.get(device_of(pei))?;
        let found = || places.iter().rev().filter_map(|&place| self.subscriptions.list.get(place));
        found().find(|found| found.status != SubscriptionStatus::Ceased).or_else(|| found().next())
    }

    pub(super) fn subscription_of(&self, line: &LineKey) -> Option<&SpsSubscription> {
        match line {
            LineKey::Gpsi(gpsi) => self.subscription_of_gpsi(gpsi),
            LineKey::Iccid(iccid) => self.subscription_of_iccid(iccid),
        }
    }
}
