//! What is heard of a bundle from elsewhere, weighed against the operation that may have placed it.

use chrono::{DateTime, Utc};
use simdepot_domain::carrier::BundleReading;
use simdepot_domain::carrier_event::BundleNews;
use simdepot_domain::channel::AccountName;
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::OperationStatus;
use simdepot_persistence::operations::{self, Operation};
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::{Conn, bundles};

use super::conclude::{Concluded, conclude_by_event};
use crate::depot::Depot;
use crate::error::AppError;

/// What news of a bundle mean to the operations of its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The bundle is one of ours.
    Known,
    /// It is ours by this news: its reference names an operation whose answer was lost, which is done by it.
    Evidence,
    /// An operation is open that may have placed it.
    OpenOperation {
        /// Its answer is still awaited, until then.
        until: Option<DateTime<Utc>>,
    },
    /// Nobody here ordered it.
    Unexpected,
}

/// Weighs news of a bundle on `profile`. What it proves is recorded; an outcome that is open is looked into at once.
///
/// # Errors
/// When the store refuses; a race when the operation changed in between.
pub(crate) async fn hear_of_bundle(
    depot: &Depot,
    account: &AccountName,
    profile: &Profile,
    news: &BundleNews,
) -> Result<Heard, AppError> {
    let (account, profile_id, id) = (account.clone(), profile.id, news.subscription_id.clone());
    let (known, open, now) = depot
        .store
        .read(move |conn| {
            // In this order: an operation that ends in between has made its bundle known by then.
            let open = operations::open_sale_of(conn, profile_id)?;
            let known = bundles::of_subscription(conn, &account, &id)?.is_some();
            Ok::<_, AppError>((known, open, conn.now()?))
        })
        .await?;
    if known {
        return Ok(Heard::Known);
    }
    let named = news.reference.as_deref().and_then(|reference| reference.parse::<OperationId>().ok());
    if let Some(named) = named {
        match conclude_by_event(depot, named, profile_id, news).await? {
            Concluded::Done => return Ok(Heard::Evidence),
            Concluded::TooEarly(until) => return Ok(Heard::OpenOperation { until: Some(until) }),
            Concluded::Ended | Concluded::NotEvidence => {}
        }
    }
    let Some(operation) = open else {
        return Ok(Heard::Unexpected);
    };
    let until = operation.resolve_after.filter(|until| is_awaited(&operation) && *until > now);
    // An event that is put off comes again and again: only what has something to say to the operation takes the writer.
    if operation.status == OperationStatus::Unknown || Seen::told(news).may_be_of(&operation) {
        let news = news.clone();
        depot.store.write(move |conn| Seen::told(&news).tell(conn, &operation)).await?;
    }
    Ok(Heard::OpenOperation { until })
}

/// A subscription that nobody has, seen on the line of an open operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    subscription_id: &'a str,
    product: Option<&'a str>,
    reference: Option<&'a str>,
}

impl<'a> Seen<'a> {
    /// In an event.
    fn told(news: &'a BundleNews) -> Self {
        Self {
            subscription_id: &news.subscription_id,
            product: news.product.as_deref(),
            reference: news.reference.as_deref(),
        }
    }

    /// In a list.
    pub(crate) fn listed(reading: &'a BundleReading) -> Self {
        Self {
            subscription_id: &reading.subscription_id,
            product: Some(&reading.product),
            reference: reading.reference.as_deref(),
        }
    }

    /// Tells the operation, in the caller's transaction: an open outcome is looked into at once, and as the list that is
    /// read for it may be older than what was seen here, it is kept.
    ///
    /// # Errors
    /// When the store refuses.
    pub(crate) fn tell(self, conn: &mut Conn<'_>, operation: &Operation) -> Result<(), AppError> {
        if self.may_be_of(operation) {
            operations::add_hint(conn, operation.id, self.subscription_id)?;
        }
        let now = conn.now()?;
        operations::nudge(conn, operation.profile_id, now)?;
        Ok(())
    }

    /// Whether the operation may have made it.
    fn may_be_of(self, operation: &Operation) -> bool {
        let sent = operation.answer_lost || is_awaited(operation);
        let before = operation.before_set.iter().flatten().any(|known| known == self.subscription_id);
        sent && !before
            && self.product.is_none_or(|told| operation.request.places() == Some(told))
            && self.reference.is_none_or(|echo| echo == operation.id.to_string())
    }
}

fn is_awaited(operation: &Operation) -> bool {
    matches!(operation.status, OperationStatus::Sent | OperationStatus::Accepted)
}
