//! One plain sentence per event.

use chrono::SecondsFormat;

use crate::bundle::{BundleStatus, OrderType};
use crate::esim::EsimStatus;
use crate::event::Fact;
use crate::iccid::Iccid;
use crate::id::{HoldId, OrderId};
use crate::operation::OperationStatus;
use crate::order::OrderStatus;
use crate::profile::QuarantineReason;
use crate::stock::StockStatus;

/// What the sentences are about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The profile whose story it is.
    pub iccid: &'a Iccid,
    /// What the event's bundle or operation places, or asks for.
    pub what: Option<&'a str>,
}

/// Says what happened; `None` for what is no part of a profile's story.
pub fn sentence(fact: &Fact, about: About<'_>) -> Option<String> {
    let what = about.what.unwrap_or("the change");
    let said = match fact {
        Fact::ImportCompleted { pool, .. } => format!("Delivered into the pool {pool}"),
        Fact::ImportUndone { .. } => "The delivery was taken back".to_owned(),
        Fact::StockMoved { from, to, order, hold, quarantine, reason } => {
            moved((*from, *to), *order, *hold, *quarantine, reason.as_deref())
        }
        Fact::ProfileEdited { pool: Some(pool), .. } => format!("Moved to the pool {pool}"),
        Fact::ProfileEdited { fields, .. } => format!("Edited: {}", fields.join(", ")),
        Fact::CodeReceived {} => "The carrier's record gave the activation code".to_owned(),
        Fact::CodeRevealed { key: Some(key), .. } => format!("Code shown to key {key}"),
        Fact::CodeRevealed { key: None, .. } => "Code shown on the command line".to_owned(),
        Fact::SimStatusSeen { to, source, observed_at, drift, .. } => {
            let at = observed_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            let odd = if *drift { "; the carrier's documents do not know this move" } else { "" };
            format!("Line seen {to} ({source}, {at}){odd}")
        }
        Fact::EsimStatusSeen { to, .. } => esim_sentence(*to).to_owned(),
        Fact::MsisdnLearned { source } => format!("The line's number became known ({source})"),
        Fact::OrderCreated { reference, .. } => format!("Order {reference} taken"),
        Fact::OrderStatusChanged { to, .. } => order_sentence(*to).to_owned(),
        Fact::OrderCancelRequested { .. } => "Asked to take the order back".to_owned(),
        Fact::ProfileSubstituted { out, by, reason } => substituted(about.iccid, out, by.as_ref(), *reason),
        Fact::ProfileReplaced { out, by, reason } if by == about.iccid => {
            format!("Replaces {out} for the customer: {reason}")
        }
        Fact::ProfileReplaced { by, reason, .. } => format!("Replaced by {by} for the customer: {reason}"),
        Fact::PlaceRefilled { out, by, reason } => refilled(about.iccid, out, by, reason),
        Fact::OrderAccepted { given_up, reason } => {
            format!("A person closed the order without the {given_up} that had failed: {reason}")
        }
        Fact::BundleOrdered { product, order: Some(_), .. } => format!("{product} ordered with the profile"),
        Fact::BundleOrdered { product, order: None, .. } => format!("{product} ordered as a top-up"),
        Fact::BundleAdopted { product, .. } => {
            format!("{product} was found on the line, not ordered here, and taken into the books")
        }
        Fact::BundleIdentified { subscription_id, .. } => {
            format!("{what} is the carrier's subscription {subscription_id}")
        }
        Fact::BundleStatusChanged { to, .. } => bundle_sentence(*to, what),
        Fact::OperationStatusChanged { kind, from, to, order_type, code, .. } => {
            let write = written(kind.as_deref(), *order_type, what);
            operation_sentence(*from, *to, &write, code.as_deref(), what)
        }
        Fact::LineChanged { fields, source, .. } => {
            format!("The carrier tells otherwise of the line ({source}): {}", fields.join(", "))
        }
        Fact::SimSwapped { out, by, .. } if by == about.iccid => {
            format!("Took the line over from {out}")
        }
        Fact::SimSwapped { by, .. } => format!("Its line moved to {by}"),
        Fact::SecurityCodesRevealed { key: Some(key) } => format!("PIN and PUK shown to key {key}"),
        Fact::SecurityCodesRevealed { key: None } => "PIN and PUK shown on the command line".to_owned(),
        Fact::BundleMoved { iccid, out } => format!("{what} moved with the line from {out} to {iccid}"),
        Fact::BundleBalanceLow { percent_left, .. } => format!("{percent_left} % of {what} is left"),
        Fact::BundleExpiresSoon { expires_at, .. } => {
            format!("{what} ends at {}", expires_at.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
        Fact::DriftFound { about, .. } => format!("Our books and the carrier's differ: {about}"),
        Fact::DriftClosed { about, .. } => format!("Our books and the carrier's no longer differ: {about}"),
        Fact::PoolCreated { .. }
        | Fact::PoolChanged { .. }
        | Fact::PoolStockLow { .. }
        | Fact::PoolStockRecovered { .. }
        | Fact::PoolStockExpiring { .. }
        | Fact::HoldCreated { .. }
        | Fact::HoldExtended { .. }
        | Fact::HoldEnded { .. }
        | Fact::WebhookEndpointCreated { .. }
        | Fact::WebhookEndpointChanged { .. }
        | Fact::WebhookSecretRotated {}
        | Fact::WebhookEndpointDisabled { .. }
        | Fact::WebhookEndpointDeleted {}
        | Fact::ReconciliationStarted {}
        | Fact::ReconciliationCompleted { .. }
        | Fact::ReconciliationFailed { .. }
        | Fact::LineJobCreated { .. }
        | Fact::LineJobStatusChanged { .. }
        | Fact::RatePlanOptionsSet { .. }
        | Fact::ServiceProfileSet { .. }
        | Fact::FeedCheckpoint { .. }
        | Fact::ApiKeyCreated { .. }
        | Fact::ApiKeyRevoked {} => return None,
    };
    Some(said)
}

fn moved(
    (from, to): (StockStatus, StockStatus),
    order: Option<OrderId>,
    hold: Option<HoldId>,
    quarantine: Option<QuarantineReason>,
    reason: Option<&str>,
) -> String {
    let order = order.map(|order| format!(" {order}")).unwrap_or_default();
    let hold = hold.map(|hold| format!(" {hold}")).unwrap_or_default();
    let said = match (from, to) {
        (_, StockStatus::Held) => format!("Reserved by hold{hold}"),
        (_, StockStatus::Allocated) => format!("Sold with order{order}"),
        (_, StockStatus::Retired) => "Taken out of the stock for good".to_owned(),
        (_, StockStatus::Quarantined) => match quarantine {
            Some(why) => format!("Set aside: {}", quarantine_words(why)),
            None => "Set aside".to_owned(),
        },
        (StockStatus::Held, StockStatus::Available) => format!("Hold{hold} ended: on sale again"),
        (StockStatus::Allocated, StockStatus::Available) => {
            format!("Taken back from order{order}: on sale again")
        }
        (
            StockStatus::Available | StockStatus::Quarantined | StockStatus::Retired,
            StockStatus::Available,
        ) => "Put on sale".to_owned(),
    };
    match reason {
        Some(reason) => format!("{said} ({reason})"),
        None => said,
    }
}

fn quarantine_words(reason: QuarantineReason) -> &'static str {
    match reason {
        QuarantineReason::CodeMissing => "delivered without an activation code",
        QuarantineReason::StatusNotSellable => "delivered in a status that the pool does not sell",
        QuarantineReason::LineNotSellable => "the line is not in a status that is sold",
        QuarantineReason::ProfileNotReleased => "the SM-DP+ does not offer the profile for download",
        QuarantineReason::DeviceBound => "a device is bound to it already",
        QuarantineReason::UnknownToCarrier => "the carrier does not know it",
        QuarantineReason::RefusedByCarrier => "the carrier refused to sell on it",
        QuarantineReason::SeenInUse => "seen in use without having been sold",
        QuarantineReason::ReturnedUnproven => "came back without proof that it was never used",
        QuarantineReason::InService => "its line was taken into use",
        QuarantineReason::Manual => "by a person",
    }
}

fn esim_sentence(to: EsimStatus) -> &'static str {
    match to {
        EsimStatus::Available => "The profile waits at the SM-DP+",
        EsimStatus::Allocated => "The profile is reserved at the SM-DP+",
        EsimStatus::Released => "The profile can be downloaded",
        EsimStatus::Downloaded => "The customer's device downloaded the profile",
        EsimStatus::Installed => "The customer's device installed the profile",
        EsimStatus::Enabled => "The customer switched the profile on",
        EsimStatus::Disabled => "The customer switched the profile off",
        EsimStatus::Deleted => "The profile was deleted from the customer's device",
    }
}

fn order_sentence(to: OrderStatus) -> &'static str {
    match to {
        OrderStatus::InProgress => "The order waits for the carrier again",
        OrderStatus::Fulfilled => "The order is fulfilled",
        OrderStatus::NeedsAttention => "The order needs a person",
        OrderStatus::Failed => "The order failed",
        OrderStatus::Cancelled => "The order was taken back",
    }
}

fn substituted(iccid: &Iccid, out: &Iccid, by: Option<&Iccid>, reason: QuarantineReason) -> String {
    let why = quarantine_words(reason);
    match by {
        Some(by) if by == iccid => format!("Took the place of {out}, which could not be sold: {why}"),
        Some(by) => format!("Could not be sold, {by} took its place: {why}"),
        None => format!("Could not be sold, and no other was left: {why}"),
    }
}

fn refilled(iccid: &Iccid, out: &Iccid, by: &Iccid, reason: &str) -> String {
    if out == by {
        format!("Tried again on its place of the order, by a person: {reason}")
    } else if by == iccid {
        format!("Took the place of {out}, which had failed, by a person: {reason}")
    } else {
        format!("{by} took its place after it had failed, by a person: {reason}")
    }
}

fn bundle_sentence(to: BundleStatus, what: &str) -> String {
    match to {
        BundleStatus::Ordering => format!("{what} is being ordered"),
        BundleStatus::Preloaded => format!("{what} is on the line and waits for its first use"),
        BundleStatus::Ready => format!("{what} is on the line and waits for use in a covered country"),
        BundleStatus::Scheduled => format!("{what} begins at a fixed later moment"),
        BundleStatus::Active => format!("{what} is running"),
        BundleStatus::Exhausted => format!("The data of {what} is used up"),
        BundleStatus::Expired => format!("{what} has expired"),
        BundleStatus::Terminated => format!("{what} was ended before its time"),
        BundleStatus::Refused => format!("The carrier did not take {what}"),
        BundleStatus::Unknown => format!("It is open whether the carrier took {what}"),
    }
}

/// An operation as the beginning of a sentence.
fn written(kind: Option<&str>, order_type: Option<OrderType>, what: &str) -> String {
    match (order_type, kind) {
        (Some(OrderType::Preload), _) => format!("Preload of {what}"),
        (Some(OrderType::Subscribe), _) => format!("Subscription of {what}"),
        (None, None | Some("place_bundle")) => format!("Order of {what}"),
        (None, Some(_)) => format!("The command for {what}"),
    }
}

fn operation_sentence(
    from: Option<OperationStatus>,
    to: OperationStatus,
    write: &str,
    code: Option<&str>,
    what: &str,
) -> String {
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    match (from, to) {
        (None, OperationStatus::Pending) => format!("{write} waits to be sent to the carrier"),
        (Some(_), OperationStatus::Pending) => {
            format!("The carrier did not take {what}{code}; it will be sent again")
        }
        (_, OperationStatus::Sent) => format!("{write} sent to the carrier"),
        (_, OperationStatus::Accepted) => format!("The carrier accepted {what} and works on it"),
        (_, OperationStatus::Done) => format!("The carrier has done it: {what}"),
        (_, OperationStatus::Refused) => format!("The carrier refused {what}{code}"),
        (_, OperationStatus::Unknown) => {
            format!("The carrier's answer was lost; asking what became of {what}")
        }
        (_, OperationStatus::NeedsAttention) => {
            format!("What became of {what} cannot be decided without a person{code}")
        }
        (_, OperationStatus::Cancelled) => format!("{write} taken back before it was sent"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use strum::VariantArray as _;
    use uuid::Uuid;

    use super::*;
    use crate::id::ApiKeyId;
    use crate::observation::Source;
    use crate::sim::SimStatus;

    fn told(fact: &Fact, what: Option<&str>) -> String {
        let iccid = Iccid::parse("8988247000000000012").unwrap();
        sentence(fact, About { iccid: &iccid, what }).unwrap()
    }

    #[test]
    fn an_agent_understands_the_story() {
        let iccid = Iccid::parse("8988247000000000012").unwrap();
        let other = Iccid::parse("8988247000000000020").unwrap();
        let order = OrderId(Uuid::nil());
        let operation = |from, to, order_type, code: Option<&str>| Fact::OperationStatusChanged {
            iccid: iccid.clone(),
            kind: None,
            from,
            to,
            order_type,
            code: code.map(str::to_owned),
            reason: None,
        };
        let moved = |from, to, quarantine| Fact::StockMoved {
            from,
            to,
            order: Some(order),
            hold: None,
            quarantine,
            reason: None,
        };
        let refilled = |out: &Iccid, by: &Iccid| {
            let reason = "paid".to_owned();
            Fact::PlaceRefilled { out: out.clone(), by: by.clone(), reason }
        };
        let story = [
            moved(StockStatus::Available, StockStatus::Allocated, None),
            operation(None, OperationStatus::Pending, None, None),
            operation(Some(OperationStatus::Pending), OperationStatus::Sent, Some(OrderType::Preload), None),
            operation(Some(OperationStatus::Sent), OperationStatus::Unknown, None, None),
            operation(Some(OperationStatus::Sent), OperationStatus::Refused, None, Some("NOT_ELIGIBLE")),
            Fact::CodeRevealed { order, key: Some(ApiKeyId(Uuid::nil())) },
            Fact::SimStatusSeen {
                from: None,
                to: SimStatus::Active,
                source: Source::Event,
                observed_at: DateTime::UNIX_EPOCH,
                drift: false,
            },
            Fact::ProfileSubstituted {
                out: other.clone(),
                by: Some(iccid.clone()),
                reason: QuarantineReason::DeviceBound,
            },
            moved(StockStatus::Allocated, StockStatus::Quarantined, Some(QuarantineReason::ReturnedUnproven)),
            refilled(&other, &iccid),
            refilled(&iccid, &other),
            refilled(&iccid, &iccid),
            Fact::OrderAccepted { given_up: 2, reason: "the customer takes one".to_owned() },
        ];
        let told: Vec<String> = story.iter().map(|fact| told(fact, Some("WW_1GB"))).collect();
        assert_eq!(
            told,
            [
                "Sold with order ord_00000000000000000000000000",
                "Order of WW_1GB waits to be sent to the carrier",
                "Preload of WW_1GB sent to the carrier",
                "The carrier's answer was lost; asking what became of WW_1GB",
                "The carrier refused WW_1GB (NOT_ELIGIBLE)",
                "Code shown to key key_00000000000000000000000000",
                "Line seen active (event, 1970-01-01T00:00:00Z)",
                "Took the place of 8988247000000000020, which could not be sold: a device is bound to it already",
                "Set aside: came back without proof that it was never used",
                "Took the place of 8988247000000000020, which had failed, by a person: paid",
                "8988247000000000020 took its place after it had failed, by a person: paid",
                "Tried again on its place of the order, by a person: paid",
                "A person closed the order without the 2 that had failed: the customer takes one",
            ]
        );
    }

    #[test]
    fn every_status_has_words_of_its_own() {
        fn distinct(mut sentences: Vec<String>) {
            let count = sentences.len();
            sentences.sort();
            sentences.dedup();
            assert_eq!(sentences.len(), count, "{sentences:?}");
        }
        distinct(BundleStatus::VARIANTS.iter().map(|to| bundle_sentence(*to, "x")).collect());
        distinct(EsimStatus::VARIANTS.iter().map(|to| esim_sentence(*to).to_owned()).collect());
        distinct(OrderStatus::VARIANTS.iter().map(|to| order_sentence(*to).to_owned()).collect());
        distinct(QuarantineReason::VARIANTS.iter().map(|why| quarantine_words(*why).to_owned()).collect());
        let operation = |to: &OperationStatus| operation_sentence(None, *to, "Order of x", None, "x");
        distinct(OperationStatus::VARIANTS.iter().map(operation).collect());
    }
}
